import csv
import math
import multiprocessing
import os
import resource
import signal
from datetime import datetime

import pytest

from competition.errors import CompetitionError
from competition.metrics.metric import make_metric
from competition.submission.leaderboard import COLUMNS, Row, append, new_submission_id, rankings, read, record

SHA = "0123456789abcdef" * 4


def row(submission_id, crossfit=0.9, track="hand_bone", phantom=False, **more):
    return Row(
        submission_id,
        "2026-11-21T15:30:12",
        track,
        phantom,
        "quick+strong",
        "0.5+0.5",
        cv_crossfit=crossfit,
        file_sha256=SHA,
        **more,
    )


def dice(track):
    return make_metric("dice")


def append_many(path, worker, count):
    for number in range(count):
        append(path, row(f"{worker}-{number}", note_crossfit(worker, number)))


def note_crossfit(worker, number):
    return (worker * 100 + number) / 1000


def test_columns_are_the_promised_ones():
    assert ",".join(COLUMNS) == (
        "id,time,track,phantom,members,weights,cv_fold_mean,cv_fold_sd,cv_oof,cv_crossfit,cv_low,cv_high,"
        "cv_reweighted,test_score,public,private,git_commit,config_hash,file_sha256"
    )


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"\xe9", b"\x80" * 9])
def test_a_leaderboard_that_is_no_text_is_one_sentence(tmp_path, damage):
    path = tmp_path / "leaderboard.csv"
    append(path, row("a"))
    path.write_bytes(path.read_bytes() + damage + b"\n")
    before = path.read_bytes()
    for act in (lambda: read(path), lambda: append(path, row("b")), lambda: record(path, "a", dice, 0.5)):
        with pytest.raises(CompetitionError, match=r"can't be read as a leaderboard \(.*Restore the file from git"):
            act()
    assert path.read_bytes() == before


@pytest.mark.parametrize("cell", ["inf", "-1e400", "much", "9" * 5000])
def test_a_figure_that_is_none_is_one_sentence(tmp_path, cell):
    path = tmp_path / "leaderboard.csv"
    append(path, row("a"))
    path.write_text(path.read_text().replace("0.900000", cell))
    with pytest.raises(CompetitionError, match="column cv_crossfit: ") as caught:
        read(path)
    assert len(str(caught.value)) < 500


def test_a_pipe_is_no_leaderboard(tmp_path):
    os.mkfifo(tmp_path / "leaderboard.csv")
    with pytest.raises(CompetitionError, match="a pipe or a device, not a file"):
        read(tmp_path / "leaderboard.csv")


def test_a_leaderboard_that_excel_saved_has_a_byte_order_mark(tmp_path):
    path = tmp_path / "leaderboard.csv"
    append(path, row("a"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    append(path, row("b"))
    assert list(read(path)["id"]) == ["a", "b"]


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "new" / "leaderboard.csv"
    assert read(path).empty
    assert not path.parent.exists()
    append(path, row("a", 0.97654321, cv_low=0.5, git_commit="abc, def\nghi"))
    append(path, row("b", None, phantom=True))
    frame = read(path)
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["id"]) == ["a", "b"]
    assert list(frame["phantom"]) == [False, True]
    assert frame["cv_crossfit"][0] == 0.976543
    assert math.isnan(frame["cv_crossfit"][1])
    assert frame["git_commit"][0] == "abc, def ghi"
    assert frame["cv_crossfit"].dtype == "float64"
    assert path.read_text().count("\n") == 3


EARLIER = (
    "id,time,track,phantom,members,weights,cv_fold_mean,cv_fold_sd,cv_oof,cv_crossfit,cv_low,cv_high,"
    "test_score,public,private,git_commit,config_hash,file_sha256\n"
    f"old,2026-11-21T15:30:12,hand_bone,false,quick,1,0.9,0.01,0.92,0.91,0.9,0.93,,0.95,,abc,def,{SHA}\n"
)


def test_a_board_without_the_reweighted_score_is_read_and_grows_with_its_next_entry(tmp_path):
    path = tmp_path / "leaderboard.csv"
    path.write_text(EARLIER)
    frame = read(path)
    assert path.read_text() == EARLIER
    assert list(frame.columns) == list(COLUMNS)
    assert math.isnan(frame["cv_reweighted"][0])
    figures = frame.loc[0, ["id", "cv_high", "public", "file_sha256"]].to_list()
    assert figures == ["old", 0.93, 0.95, SHA]
    append(path, row("new", cv_reweighted=0.875))
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert [(line[0], line[COLUMNS.index("cv_reweighted")]) for line in lines] == [("old", ""), ("new", "0.875000")]
    assert read(path).loc[0, ["id", "cv_high", "public", "file_sha256"]].to_list() == figures


def test_scores_are_recorded_on_a_board_without_the_reweighted_score(tmp_path):
    path = tmp_path / "leaderboard.csv"
    path.write_text(EARLIER.removesuffix("\n"))  # as some editors leave it
    record(path, "old", dice, private=0.96)
    assert read(path).loc[0, ["cv_high", "public", "private"]].to_list() == [0.93, 0.95, 0.96]
    assert not (tmp_path / "leaderboard.csv.cut").exists()


def test_an_id_is_unique(tmp_path):
    path = tmp_path / "leaderboard.csv"
    moment = datetime(2026, 11, 21, 15, 30, 12)
    ids = []
    for _ in range(3):
        ids.append(new_submission_id(path, tmp_path / "submissions", "quick", moment))
        append(path, row(ids[-1]))
    assert ids == ["20261121-153012-quick", "20261121-153012-quick-2", "20261121-153012-quick-3"]
    (tmp_path / "submissions" / "20261121-153012-other").mkdir(parents=True)
    assert new_submission_id(path, tmp_path / "submissions", "other", moment) == "20261121-153012-other-2"
    before = path.read_bytes()
    with pytest.raises(CompetitionError, match="on the leaderboard already"):
        append(path, row(ids[1]))
    assert path.read_bytes() == before


@pytest.mark.slow
def test_processes_appending_at_once_lose_nothing(tmp_path):
    path = tmp_path / "leaderboard.csv"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append_many, args=(path, worker, 25)) for worker in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 6
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == 151
    assert {len(line) for line in lines} == {len(COLUMNS)}
    frame = read(path).set_index("id")
    for worker in range(6):
        of_worker = [name for name in frame.index if name.startswith(f"{worker}-")]
        assert of_worker == [f"{worker}-{number}" for number in range(25)]
        for number in range(25):
            assert frame.loc[f"{worker}-{number}", "cv_crossfit"] == note_crossfit(worker, number)


def record_many(path, worker, count):
    for number in range(count):
        record(path, f"{worker}-{number}", dice, public=0.5)


def test_recording_while_others_append_loses_nothing(tmp_path):
    path = tmp_path / "leaderboard.csv"
    append_many(path, 0, 20)
    context = multiprocessing.get_context("fork")
    jobs = [
        context.Process(target=append_many, args=(path, 1, 20)),
        context.Process(target=record_many, args=(path, 0, 20)),
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    frame = read(path)
    assert len(frame) == 40
    assert frame.set_index("id")["public"].notna().sum() == 20


def test_record_changes_only_the_scores_and_corrects_them(tmp_path):
    path = tmp_path / "leaderboard.csv"
    for name in ("a", "b"):
        append(path, row(name))
    before = path.read_text().splitlines()
    record(path, "b", dice, public=0.9730, private=0.9733)
    record(path, "b", dice, public=0.9740)
    after = path.read_text().splitlines()
    assert after[:2] == before[:2]
    old, new = before[2].split(","), after[2].split(",")
    changed = {COLUMNS[i]: new[i] for i in range(len(COLUMNS)) if old[i] != new[i]}
    assert changed == {"public": "0.974000", "private": "0.973300"}


def test_record_refuses_what_makes_no_sense(tmp_path):
    path = tmp_path / "leaderboard.csv"
    with pytest.raises(CompetitionError, match=r"no submission was made yet.*Run \./run\.sh ensemble"):
        record(path, "x", dice, public=0.5)
    append(path, row("20261121-153012-quick"))
    with pytest.raises(CompetitionError, match="did you mean '20261121-153012-quick'"):
        record(path, "20261121-153021-quick", dice, public=0.5)
    with pytest.raises(CompetitionError, match="no score is given"):
        record(path, "20261121-153012-quick", dice)


MORE_THAN_ONE = {"sum": [{"name": "dice", "weight": 0.5}, {"name": "hausdorff", "weight": 0.8}]}


@pytest.mark.parametrize(
    ("metric", "crossfit", "score", "message"),
    [
        ("dice", 0.9, 0.973, None),
        ("dice", 0.9, 97.3, "97.3 is not between 0 and 1, as mean Dice is: a. .* give --private 0.973"),
        ("auroc", 0.9, -0.1, "-0.1 is not between 0 and 1, as mean AUROC is"),
        ("dice", 0.9, math.nan, "nan is not between 0 and 1"),
        ({"sum": [{"name": "dice", "weight": one} for one in (0.7, 0.2, 0.1)]}, 0.9, 1, None),
        (MORE_THAN_ONE, 1.1, 1.2, None),
        (MORE_THAN_ONE, 0.9, 1.31, r"not between 0 and 1.3, as mean 0.5 Dice \+ 0.8 Hausdorff is"),
        ("kappa", 0.3, -0.05, None),
        ("kappa", -0.02, 0.1, None),
        ("kappa", 0.3, 30, "not between -1 and 1, as quadratic weighted kappa is"),
        ("log_loss", -0.4, -0.31, None),
        ("log_loss", None, 0.31, r"0.31 is not negative, .* \(negative log loss\): a. Give --private -0.31"),
        ("rmse", -0.4, -math.inf, "-inf is not a number, as negative RMSE"),
    ],
)
def test_what_is_recorded_is_a_score_that_the_metric_can_have(tmp_path, metric, crossfit, score, message):
    path = tmp_path / "leaderboard.csv"
    append(path, row("a", crossfit, track="mine"))
    if message is None:
        record(path, "a", {"mine": make_metric(metric)}.__getitem__, private=score)
        assert read(path)["private"][0] == score
        return
    with pytest.raises(CompetitionError, match=message):
        record(path, "a", {"mine": make_metric(metric)}.__getitem__, private=score)
    assert math.isnan(read(path)["private"][0])


@pytest.mark.parametrize("keep", [1, 30, 90])
def test_a_line_cut_by_a_kill_is_kept_beside_and_reported(tmp_path, capsys, keep):
    path = tmp_path / "leaderboard.csv"
    for name in ("first", "second"):
        append(path, row(name))
    content = path.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    path.write_bytes(content[: start + keep])
    assert list(read(path)["id"]) == ["first"]
    said = " ".join(capsys.readouterr().out.split())
    assert "is incomplete (submission" in said
    assert "leaderboard.csv.cut" in said
    assert (tmp_path / "leaderboard.csv.cut").read_bytes() == content[start : start + keep] + b"\n"
    append(path, row("third"))
    assert list(read(path)["id"]) == ["first", "third"]
    assert "incomplete" not in capsys.readouterr().out


def test_a_whole_last_line_without_its_end_is_only_ended(tmp_path):
    path = tmp_path / "leaderboard.csv"
    for name in ("first", "second"):
        append(path, row(name))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert list(read(path)["id"]) == ["first", "second"]
    assert path.read_bytes() == content


def test_a_cut_header_is_made_again(tmp_path):
    path = tmp_path / "leaderboard.csv"
    path.write_text("id,time,tra")
    append(path, row("a"))
    assert list(read(path)["id"]) == ["a"]


@pytest.mark.parametrize("content", ["name,age\nAnn,31\nBob", "name,age"])
def test_a_file_of_others_that_ends_without_a_line_end_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "leaderboard.csv"
    path.write_text(content)
    with pytest.raises(CompetitionError, match="the first line is not that of a leaderboard"):
        read(path)
    assert path.read_text() == content
    assert not (tmp_path / "leaderboard.csv.cut").exists()


def test_an_empty_file_becomes_a_leaderboard(tmp_path):
    path = tmp_path / "leaderboard.csv"
    path.touch()
    append(path, row("a"))
    assert list(read(path)["id"]) == ["a"]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "leaderboard.csv"
    append(path, row("a"))
    before = path.read_bytes()
    child = os.fork()  # the limit on file sizes can't be raised again, so it is set in a child
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, len(before) + 20))
        try:
            append(path, row("b"))
        except CompetitionError as error:
            os._exit(0 if "can't write the leaderboard" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2\n", "not that of a leaderboard"), (",".join(COLUMNS) + "\nx,y\n", "line 2 has 2 fields")],
)
def test_another_file_is_not_touched(tmp_path, content, message):
    path = tmp_path / "leaderboard.csv"
    path.write_text(content)
    with pytest.raises(CompetitionError, match=message):
        append(path, row("a"))
    assert path.read_text() == content


def test_rankings_keep_tracks_and_drawn_data_apart(tmp_path):
    path = tmp_path / "leaderboard.csv"
    append(path, row("low", 0.5))
    append(path, row("drawn", 0.99, phantom=True))
    append(path, row("none", None))
    append(path, row("best", 0.9))
    append(path, row("tie", 0.5))
    append(path, row("vessels", 0.7, track="aneurysm"))
    found = rankings(path)
    assert list(found) == [("aneurysm", False), ("hand_bone", False), ("hand_bone", True)]
    assert list(found["hand_bone", False]["id"]) == ["best", "low", "tie", "none"]
    assert list(found["hand_bone", True]["id"]) == ["drawn"]
    assert rankings(tmp_path / "none.csv") == {}
