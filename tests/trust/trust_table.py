"""Counts what the trust tests tried, and writes it as a table."""

import platform
from dataclasses import dataclass, field
from importlib.metadata import version

LIBRARIES = ("numpy", "pillow", "opencv-python-headless", "pydicom", "scipy", "h5py", "blosc2", "pyarrow", "torch")


@dataclass
class Fuzzed:
    """What a parser was given, and what became of it."""

    name: str
    inputs: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0
    peak_bytes: int = 0

    def count(self, refused: bool, seconds: float) -> None:
        """Adds one input."""
        self.inputs += 1
        self.refused += refused
        self.slowest_seconds = max(self.slowest_seconds, seconds)


@dataclass
class TrustTable:
    """All that was tried in one run of the tests."""

    parsers: list[Fuzzed] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)

    def fuzzed(self, name: str) -> Fuzzed:
        """Adds a row for a parser."""
        self.parsers.append(Fuzzed(name))
        return self.parsers[-1]

    def add(self, tried: str, result: str) -> None:
        """Adds a row for what is not a parser."""
        self.others.append((tried, result))

    def markdown(self) -> str:
        """The whole page."""
        tried = sum(parser.inputs for parser in self.parsers)
        versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        lines = [
            "# Robustness tests",
            "",
            "Made by `./run.sh test trust --inputs N --kills N --write-table docs/trust.md`. Nothing below failed.",
            "`./run.sh test` includes a short form with 100 files for each parser.",
            "",
            f"{tried:,} damaged files were given to {len(self.parsers)} parsers. Each was read, or refused with one",
            "sentence that names it, within 5 s and 1 GB. The files are valid ones after up to six edits (bytes, bits,",
            "cells and lines that are changed, deleted, repeated, inserted or cut off), and one in eight is noise.",
            "",
            "| parser | files | read | refused | slowest, ms | more memory, MB |",
            "|---|---|---|---|---|---|",
            *(
                f"| {row.name} | {row.inputs:,} | {row.inputs - row.refused:,} | {row.refused:,} "
                f"| {1000 * row.slowest_seconds:.0f} | {max(0, row.peak_bytes) / 1e6:.0f} |"
                for row in self.parsers
            ),
            "",
            "| tried | result |",
            "|---|---|",
            *(f"| {what} | {result} |" for what, result in self.others),
            "",
            f"Python {platform.python_version()}, {versions}.",
            "",
        ]
        return "\n".join(lines)
