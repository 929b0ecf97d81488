"""Where the hub of weights is out of reach, that is found out once and fast, and what is there already still loads."""

import socket

import pytest
from huggingface_hub import constants

from competition.errors import CompetitionError
from competition.models import hub
from competition.models.factory import build_model


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine without proxies that has asked nothing yet."""
    for name in ("http", "https", "all"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.answers.cache_clear()
    yield
    hub.answers.cache_clear()


@pytest.fixture
def asked(monkeypatch):
    """Addresses that were asked for a connection, which none gives."""
    found = []

    def refuse(address, timeout):
        found.append((*address, timeout))
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return found


def test_an_unreachable_hub_is_asked_once_and_what_was_fetched_before_is_all_there_is(asked):
    for _ in range(2):
        with hub.without_retries():
            assert constants.HF_HUB_OFFLINE
        assert not constants.HF_HUB_OFFLINE
    assert asked == [("huggingface.co", 443, hub.PATIENCE_SECONDS)]


def test_a_network_is_refused_without_asking_the_hub_again(asked, monkeypatch, tmp_path, shared_hands, tiny_experiment):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CompetitionError, match=r"can't be fetched from the network .*model\.pretrained=false"):
        build_model(tiny_experiment(model={"pretrained": True}), shared_hands.track)
    assert len(asked) == 1
    assert not constants.HF_HUB_OFFLINE


def test_fresh_weights_ask_nobody(asked, shared_hands, tiny_experiment):
    build_model(tiny_experiment(), shared_hands.track)
    assert asked == []


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/mirror"])
def test_a_hub_or_mirror_that_answers_is_used(monkeypatch, endpoint):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint.format(server.getsockname()[1]))
        with hub.without_retries():
            assert not constants.HF_HUB_OFFLINE


def test_behind_a_proxy_nobody_is_asked(asked, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    with hub.without_retries():
        assert not constants.HF_HUB_OFFLINE
    assert asked == []


def test_who_is_offline_on_purpose_stays_so(asked, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub.without_retries():
        assert constants.HF_HUB_OFFLINE
    assert constants.HF_HUB_OFFLINE
    assert asked == []
