"""The page in a real browser: nothing is fetched or run that should not be, and keyboard and screen readers work."""

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest

from competition.reporting.charts import add_legend, as_svg, new_chart
from competition.reporting.page import Figure, Report, Section, html_table, write_report
from competition.reporting.pictures import gallery

pytestmark = pytest.mark.slow  # draws charts

SCRIPT = "<script>window.broken = 1</script>"
WIDTHS = (390, 800, 1400)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of a chart, a wide table and a gallery, with names that try to be code."""
    canvas, (axis,) = new_chart(9)
    axis.plot([0, 1], [1, 0], label=SCRIPT)
    axis.set_title(SCRIPT)
    add_legend(axis)
    table = pd.DataFrame({SCRIPT: ["<img src=x onerror=window.broken=1>"], **{f"column {i}": [1.5] for i in range(12)}})
    picture = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    figures = [
        Figure("chart", SCRIPT, "A chart.", as_svg(canvas, "chart", f"About {SCRIPT}")),
        Figure("table", "A table", "A table.", html_table(table), table),
        Figure("pictures", "Pictures", "Pictures.", gallery([(picture, f'{SCRIPT}"onerror=x'), (picture, "second")])),
    ]
    sections = [Section("one", "One", figures, f"{SCRIPT}\nA second line."), Section("two", "Two", missing="Nothing.")]
    folder = tmp_path_factory.mktemp("page") / "report"
    return write_report(folder, Report(SCRIPT, "Subtitle", [("score", "0.9")], sections))


def test_names_stay_text_and_nothing_is_fetched_or_reported(browser, page):
    browser.open(page)
    log = browser.log()
    assert not [line for line in log if '"level"' in line or "Error" in line or "Refused" in line]
    asked = [json.loads(line)["message"] for line in log if "Network.requestWillBeSent" in line]
    addresses = [message["params"]["request"]["url"] for message in asked if "request" in message["params"]]
    assert {re.split("[:,;]", address)[0] for address in addresses} <= {"file", "data"}
    assert [address for address in addresses if address.startswith("file")] == [page.as_uri()]
    assert browser.run("return window.broken === undefined && document.scripts.length") == 1
    assert browser.driver.title == SCRIPT
    for place in ("h1", "#chart", "th", ".missing", "figcaption"):
        assert SCRIPT in browser.run("return document.querySelector(arguments[0]).textContent", place)
    assert SCRIPT in browser.run("return document.querySelector('svg').textContent")


def test_every_picture_is_there_and_every_figure_has_words(browser, page):
    browser.open(page)
    browser.run("for (const picture of document.images) picture.loading = 'eager'")
    pictures = browser.run(
        "return Promise.all([...document.querySelectorAll('main img')].map(i => i.decode().then(() => "
        "[i.naturalWidth, i.alt])))"
    )
    assert [width for width, _ in pictures] == [90, 90]
    assert all(words for _, words in pictures)
    assert browser.run("return document.querySelector('svg').getAttribute('aria-label')") == f"About {SCRIPT}"
    labelled = browser.run(
        "return [...document.querySelectorAll('article, section')].every(a => "
        "document.getElementById(a.getAttribute('aria-labelledby')).textContent)"
    )
    assert labelled


def test_the_keyboard_reaches_links_and_gallery_and_opens_and_closes_a_picture(browser, page):
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    reached = []
    for _ in range(12):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.run("const a = document.activeElement; return a.closest('.tile') ? 'TILE' : a.tagName"))
        if reached[-1] == "TILE":
            break
    assert reached[0] == "A"  # skip to the content
    assert reached.count("A") == 4  # the sections and the table's CSV
    assert reached[-1] == "TILE"
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.run("const d = document.querySelector('dialog'); return d.open && d.querySelector('img').alt") == (
        f'{SCRIPT}"onerror=x'
    )
    assert browser.run("return document.querySelector('dialog p').textContent").startswith(SCRIPT)
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert browser.run("return document.querySelector('dialog').open") is False
    assert browser.run("return document.activeElement.closest('.tile') !== null")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways(browser, page, width):
    browser.open(page, width)
    root = "document.documentElement"
    assert browser.run(f"return {root}.scrollWidth <= {root}.clientWidth")


def luminance(colour):
    """Relative luminance of "rgb(r, g, b)" (WCAG 2.2)."""
    parts = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_is_readable_in_the_light_and_in_the_dark(browser, page, dark):
    browser.open(page, dark=dark)
    colours = browser.run(
        """
        const clear = 'rgba(0, 0, 0, 0)';
        const ground = e => {
          while (getComputedStyle(e).backgroundColor === clear) e = e.parentElement;
          return getComputedStyle(e).backgroundColor; };
        const own = e => e instanceof SVGElement ? getComputedStyle(e).fill : getComputedStyle(e).color;
        return [...document.querySelectorAll('h1, h2, h3, p, a, dt, dd, th, td, figcaption, svg text')]
          .filter(e => !e.closest('dialog')).map(e => [own(e), ground(e)]);"""
    )
    grounds = {luminance(ground) for _, ground in colours}
    assert max(grounds) < 0.05 if dark else min(grounds) > 0.85
    for text, ground in colours:
        high, low = sorted([luminance(text), luminance(ground)], reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_it_prints(browser, page):
    browser.open(page)
    printed = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 5_000
