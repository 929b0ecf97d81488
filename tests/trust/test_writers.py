"""Eight processes that write the same files at once lose nothing and break nothing."""

import multiprocessing
from pathlib import Path

import numpy as np
from trust_table import TrustTable

from competition.files import write_json
from competition.formats.json_files import read_json
from competition.masks.stored_arrays import read_array, write_array
from competition.submission import leaderboard

WRITERS, TIMES = 8, 25


def write_often(folder: Path, writer: int) -> None:
    for number in range(TIMES):
        row = leaderboard.Row(f"{writer}-{number}", "2026-11-21T15:30:12", "hand_bone", False, "quick", "1")
        leaderboard.append(folder / "leaderboard.csv", row)
        write_array(folder / "a.b2", np.full((40, 50), writer, np.uint8))
        write_json(folder / "a.json", {"writer": writer, "all": [writer] * 500})
        read_array(folder / "a.b2")
        read_json(folder / "a.json", "Again")


def test_eight_writers_lose_nothing(tmp_path: Path, trust_table: TrustTable) -> None:
    context = multiprocessing.get_context("forkserver")  # blosc2 has threads, which a fork would lose
    writers = [context.Process(target=write_often, args=(tmp_path, writer)) for writer in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    frame = leaderboard.read(tmp_path / "leaderboard.csv")
    for writer in range(WRITERS):
        own = [name for name in frame["id"] if name.startswith(f"{writer}-")]
        assert own == [f"{writer}-{number}" for number in range(TIMES)]
    last = read_array(tmp_path / "a.b2")
    assert (last == last[0, 0]).all()
    stored = read_json(tmp_path / "a.json", "Again")
    assert stored["all"] == [stored["writer"]] * 500
    assert {path.name for path in tmp_path.iterdir()} <= {"leaderboard.csv", "leaderboard.csv.lock", "a.b2", "a.json"}
    trust_table.add(f"{WRITERS} processes, {TIMES} rows, arrays and JSON files each, at once", "nothing lost or broken")
