"""A Chromium that shows pages, and tuned data sets made by hand, without training."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.data.manifest import data_hash
from competition.ensembling.tuning import TuneRequest, tune
from competition.files import write_sealed_json
from competition.masks.bit_planes import unpack_planes
from competition.prediction.histograms import histograms_file, image_histogram, save_histograms
from competition.prediction.probability_maps import MapFolder, write_index, write_map, write_scores
from competition.reporting.inputs import ReportInputs
from competition.settings import Experiment
from competition.workspace import finished_file, history_file, out_of_fold_folder, settings_file

Predict = Callable[[np.ndarray, int], np.ndarray]
"""Truth bool (C, H, W) and the number of the image -> levels."""

HISTORY = (
    "epoch,loss,lr,seconds,score,memory_mb\n1,1.0,0.1,2.0,0.5,512\n2,0.5,0.05,2.5,,2048\n3,0.4,0.01,1.5,0.75,2048\n"
)


@dataclass(frozen=True)
class Browser:
    """A headless Chromium.

    Attributes:
        driver: Of Selenium.
    """

    driver: object

    def open(self, page: Path, width: int = 1400, dark: bool = False) -> None:
        """Show a page in a window of so many pixels, with a fresh log."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.log()
        self.driver.get(page.as_uri())

    def log(self) -> list[str]:
        """What the console printed, and the addresses that were asked for, since the last call."""
        return [entry["message"] for kind in ("browser", "performance") for entry in self.driver.get_log(kind)]

    def run(self, script: str, *values: object) -> object:
        return self.driver.execute_script(script, *values)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no Chromium or Chrome with its chromedriver is installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{word}")
    for word in ("disable-component-update", "disable-sync"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service(chromedriver), options=options)
    yield Browser(driver)
    driver.quit()


def _finish(prepared, run: str, fold: int, experiment: Experiment) -> Path:
    """Write what a trained fold leaves beside its predictions; return the folder of these."""
    folder = prepared.workspace.fold_folder(run, fold)
    folder.mkdir(parents=True)
    identity = {
        "dataset": prepared.workspace.dataset,
        "classes": list(prepared.track.classes),
        "config_hash": f"hash of {run}",
        "fold_hash": prepared.folds.hash(),
        "data_hash": data_hash(prepared.train()),
        "fold": fold,
        "pseudo_hash": "",
        "stage_hash": "",
        "init_hash": "",
    }
    write_sealed_json(finished_file(folder), {"identity": identity, "shuffled": False})
    settings_file(folder).write_text(experiment.to_yaml())
    (folder / "weights.pt").touch()
    history_file(folder).write_text(HISTORY)
    return out_of_fold_folder(folder)


@pytest.fixture
def add_masks(tiny_experiment) -> Callable[..., None]:
    """Adds a run of masks."""

    def add(prepared, run: str, predict: Predict, folds: Sequence[int] = (0, 1)) -> None:
        classes = prepared.track.classes
        for fold in folds:
            folder = _finish(prepared, run, fold, tiny_experiment())
            held_out, histograms = prepared.folds.held_out(prepared.train(), fold), []
            for entry in held_out:
                planes = read_cached_planes(prepared.workspace, entry.sample)
                number = int(entry.sample.removeprefix("hand"))
                levels = predict(unpack_planes(planes, len(classes)), number).astype(np.uint8)
                write_map(folder, entry.sample, levels)
                histograms.append(image_histogram(levels, planes))
            samples = [entry.sample for entry in held_out]
            save_histograms(histograms_file(folder), samples, np.stack(histograms))
            write_index(folder, MapFolder(classes, tuple(samples), {}))

    return add


@pytest.fixture
def add_table(tiny_experiment) -> Callable[..., None]:
    """Adds a run of probabilities: ``predict(targets (n, C))`` gives (n, C)."""

    def add(prepared, run: str, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        classes = prepared.track.classes
        for fold in (0, 1):
            folder = _finish(prepared, run, fold, tiny_experiment(multiview=True))
            held_out = prepared.folds.held_out(prepared.train(), fold)
            samples = tuple(entry.sample for entry in held_out)
            write_scores(folder, samples, classes, predict(np.array([entry.targets for entry in held_out], float)))
            write_index(folder, MapFolder(classes, samples, {}))

    return add


@pytest.fixture
def inputs_of() -> Callable[..., ReportInputs]:
    """Tunes all runs, or those named, and opens what the sections read."""

    def make(prepared, **wanted: object) -> ReportInputs:
        path, _ = tune(prepared.track, prepared.workspace, TuneRequest(**wanted))
        return ReportInputs(prepared.track, prepared.workspace, path)

    return make


@pytest.fixture(scope="session")
def blurred() -> Predict:
    return _blurred


@pytest.fixture(scope="session")
def unsure() -> Callable[[np.ndarray], np.ndarray]:
    return _unsure


def _blurred(truth: np.ndarray, number: int) -> np.ndarray:
    """Levels that are wrong at some borders, more so in later images."""
    random = np.random.default_rng(number)
    moved = np.roll(truth, number % 4, axis=2)
    levels = 40 * random.random(truth.shape) + 150 * moved + 60 * truth
    return np.where(levels < 45, 0, levels).astype(np.uint8)


def _unsure(targets: np.ndarray) -> np.ndarray:
    """Probabilities that lean to the truth."""
    return np.clip(0.5 + 0.3 * (targets - 0.5) + np.random.default_rng(1).normal(0, 0.15, targets.shape), 0.01, 0.99)


@pytest.fixture
def tuned_hands(tiny_hands, add_masks, inputs_of):
    """The inputs of a report on one member of masks."""
    add_masks(tiny_hands, "quick", _blurred)
    return inputs_of(tiny_hands)


@pytest.fixture
def tuned_patients(tiny_patients, add_table, inputs_of):
    """Likewise of a table."""
    add_table(tiny_patients, "quick", _unsure)
    return inputs_of(tiny_patients)


@pytest.fixture
def two_hands(tiny_hands, add_masks, inputs_of):
    """The inputs of a report on two members of masks."""
    add_masks(tiny_hands, "quick", _blurred)
    add_masks(tiny_hands, "other", lambda truth, number: _blurred(truth, number + 1))
    return inputs_of(tiny_hands, method="equal", window=(0.5, 0.5))
