"""Options and the table of the trust tests."""

from pathlib import Path

import pytest
from trust_table import TrustTable

_TABLE = pytest.StashKey[TrustTable]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--inputs", type=int, default=100, help="damaged files for each parser")
    parser.addoption("--kills", type=int, default=1, help="kills of each stage")
    parser.addoption("--write-table", type=Path, help="write what was tried as Markdown")


@pytest.fixture(scope="session")
def trust_table(pytestconfig: pytest.Config) -> TrustTable:
    return pytestconfig.stash.setdefault(_TABLE, TrustTable())


@pytest.fixture(scope="session")
def inputs(pytestconfig: pytest.Config) -> int:
    number: int = pytestconfig.getoption("--inputs", 100)  # unknown where this file was no argument
    return number


@pytest.fixture(scope="session")
def kills(pytestconfig: pytest.Config) -> int:
    number: int = pytestconfig.getoption("--kills", 1)
    return number


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    path: Path | None = session.config.getoption("--write-table", None)
    table = session.config.stash.get(_TABLE, None)
    if path is not None and table is not None and exitstatus == 0:
        path.write_text(table.markdown())
