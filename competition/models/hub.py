"""Pretrained weights without a long wait: where the hub is out of reach, its own retries take 50 seconds a network."""

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
    """Return where the hub does not answer, only weights that were fetched before are looked for, and that at once."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@functools.cache
def answers() -> bool:
    """Whether the hub takes a connection; asked once per process. Behind a proxy only the proxy could tell: yes."""
    address = urlsplit(constants.ENDPOINT)
    if getproxies().keys() & {"http", "https", "all"}:
        return True
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname, port), timeout=PATIENCE_SECONDS):
            return True
    except OSError:
        return False
