"""Fetches pretrained weights without a long wait: where the hub is unreachable, its own retries take 50 seconds."""

import functools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants

PATIENCE_SECONDS = 3.0


@contextmanager
def without_retries() -> Iterator[None]:
    """Use only weights that were fetched before, without retries, where the hub does not answer."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@functools.cache
def answers() -> bool:
    """Return whether the hub takes a connection, asked once per process; behind a proxy the answer is always yes."""
    address = urlsplit(constants.ENDPOINT)
    if getproxies().keys() & {"http", "https", "all"}:
        return True
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname, port), timeout=PATIENCE_SECONDS):
            return True
    except OSError:
        return False
