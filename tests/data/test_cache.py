"""The cache, on small hand-made folders: a track of two classes by pixel value, and one of two views."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from competition.data.cache import (
    cache_sample,
    describe_sources,
    fingerprint,
    is_cached,
    read_cached_image,
    read_cached_planes,
    read_label_planes,
)
from competition.errors import CompetitionError
from competition.formats.pictures import read_grey
from competition.masks.bit_planes import unpack_planes
from competition.metrics.tables import AUROC
from competition.submission.table.form import TableForm
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Listing, Sample, Track, narrow
from competition.workspace import Workspace

SIZE_HW = (10, 14)
TRAIN = Sample("a", "a.png", "train", "p1", ("images/a.png",), "labels/a.png", stratum="s")


@pytest.fixture
def track(tmp_path: Path) -> Track:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{classes: {one: 1, two: 2, three: 3}, train: 'images/*.png', masks: 'labels/{stem}.png', "
        "test: 'test/*.png', group: '(.)'}"
    )
    return load_folder_track(path)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work", "mine")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image, its label without a pixel of class three, and two views of a test patient."""
    random = np.random.default_rng(0)
    for name in ("images/a.png", "images/b.png", "test/1A.png", "test/1B.png"):
        save(tmp_path / name, random.integers(0, 256, SIZE_HW, dtype=np.uint8))
    save(tmp_path / "labels/a.png", random.integers(0, 3, SIZE_HW, dtype=np.uint8))
    return tmp_path


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def nothing(_: Path) -> Listing:
    return Listing([])


TWO_VIEWS = Track(
    name="pair",
    task="classification",
    classes=("ill",),
    metric=AUROC,
    form=TableForm(),
    list_samples=nothing,
    list_test=nothing,
    read_image=read_grey,
    read_label=None,
    layout="",
    views=("A", "B"),
    size_hw=(5, 6),
)
PATIENT = Sample("1", "1", "test", "1", ("test/1A.png", "test/1B.png"))


def test_a_sample_is_cached_with_its_statistics(workspace: Workspace, track: Track, root: Path) -> None:
    entry, problems = cache_sample(workspace, track, root, TRAIN)
    image, label = (np.asarray(Image.open(root / folder / "a.png")) for folder in ("images", "labels"))
    np.testing.assert_array_equal(read_cached_image(workspace, "a", "image"), image)
    masks = unpack_planes(read_cached_planes(workspace, "a"), 3)
    np.testing.assert_array_equal(masks, [label == 1, label == 2, label == 3])
    assert problems == []
    assert (entry.sample, entry.name, entry.group, entry.stratum, entry.split) == ("a", "a.png", "p1", "s", "train")
    assert (entry.height, entry.width, entry.present, entry.targets) == (10, 14, (True,), (1, 1, 0))
    assert entry.mean == pytest.approx((image.astype(np.float64).mean(),))
    assert entry.std == pytest.approx((image.astype(np.float64).std(),))


def test_a_narrowed_track_reads_its_own_classes_from_the_same_planes(
    workspace: Workspace, track: Track, root: Path
) -> None:
    cache_sample(workspace, track, root, TRAIN)
    label = np.asarray(Image.open(root / "labels" / "a.png"))
    np.testing.assert_array_equal(
        unpack_planes(read_label_planes(workspace, narrow(track, track.classes[1:2]), "a"), 1), [label == 2]
    )
    np.testing.assert_array_equal(read_label_planes(workspace, track, "a"), read_cached_planes(workspace, "a"))


def test_what_is_only_known_about_a_sample_does_not_make_it_read_again(track: Track, root: Path) -> None:
    told = replace(TRAIN, stratum="oblique", side="left")
    assert fingerprint(track, root, told) == fingerprint(track, root, TRAIN)
    assert fingerprint(track, root, replace(TRAIN, group="p2")) != fingerprint(track, root, TRAIN)


def test_a_sample_is_in_the_cache_only_with_all_its_files(workspace: Workspace, track: Track, root: Path) -> None:
    entry, _ = cache_sample(workspace, track, root, TRAIN)
    assert is_cached(workspace, track, entry)
    workspace.label_file("a").unlink()
    assert not is_cached(workspace, track, entry)
    assert is_cached(workspace, track, replace(entry, split="test"))
    workspace.image_file("a", "image").unlink()
    assert not is_cached(workspace, track, replace(entry, split="test"))


def test_a_damaged_file_is_not_in_the_cache(workspace: Workspace, track: Track, root: Path) -> None:
    entry, _ = cache_sample(workspace, track, root, TRAIN)
    path = workspace.label_file("a")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert not is_cached(workspace, track, entry)
    with pytest.raises(CompetitionError, match=r"damaged.*a\.b2\. Run \./run\.sh prepare"):
        read_cached_planes(workspace, "a")


def test_the_fingerprint_changes_when_any_source_changes(track: Track, root: Path) -> None:
    prints = [fingerprint(track, root, TRAIN)]
    for name in ("images/a.png", "labels/a.png"):
        known = describe_sources(track, root, TRAIN)
        status = (root / name).stat()
        time.sleep(0.02)  # the clock of file systems ticks every 4 ms
        content = bytearray((root / name).read_bytes())
        content[-1] ^= 1
        (root / name).write_bytes(content)
        os.utime(root / name, ns=(status.st_atime_ns, status.st_mtime_ns))  # neither size nor time differ
        prints.append(fingerprint(track, root, TRAIN, known))
    (root / "labels/a.png").unlink()
    prints.append(fingerprint(track, root, TRAIN))
    prints.append(fingerprint(track, root, replace(TRAIN, group="p2")))
    prints.append(fingerprint(track, root, replace(TRAIN, targets=(1, 0, 0))))
    assert len(set(prints)) == len(prints)


def test_a_file_that_was_only_touched_or_copied_is_the_same(track: Track, root: Path) -> None:
    before, known = fingerprint(track, root, TRAIN), describe_sources(track, root, TRAIN)
    os.utime(root / "images/a.png")
    shutil.copy(root / "labels/a.png", root / "copy.png")
    (root / "copy.png").replace(root / "labels/a.png")
    assert describe_sources(track, root, TRAIN, known) != known
    assert fingerprint(track, root, TRAIN, known) == before


def test_the_fingerprint_watches_the_file_of_every_class(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("{classes: [u, v], train: 'i/*', masks: 'm/{class}/{stem}.png', test: 't/*', group: '(.)'}")
    track = load_folder_track(path)
    sample = replace(TRAIN, label="m/{class}/a.png")
    prints = [fingerprint(track, root, sample)]
    for name in ("u", "v"):
        save(root / "m" / name / "a.png", np.zeros(SIZE_HW, np.uint8))
        prints.append(fingerprint(track, root, sample))
    assert len(set(prints)) == 3


def test_the_fingerprint_watches_the_file_of_which_a_part_is_read(track: Track, root: Path) -> None:
    (root / "train.tfrecord").write_bytes(b"12")
    sample = replace(TRAIN, images=("train.tfrecord#0",), label="train.tfrecord#0")
    prints = [fingerprint(track, root, sample), fingerprint(track, root, replace(sample, images=("train.tfrecord#1",)))]
    (root / "train.tfrecord").write_bytes(b"123")
    prints += [fingerprint(track, root, sample), fingerprint(track, root, replace(sample, label="train.tfrecord#1"))]
    assert len(set(prints)) == 4


def test_labels_are_inspected_where_a_track_can(workspace: Workspace, track: Track, root: Path) -> None:
    assert cache_sample(workspace, track, root, TRAIN)[0].remarks == ()
    seen: list[Path] = []
    inspecting = replace(track, inspect_label=lambda path, size_hw: seen.append(path) or [f"soft {size_hw}"])
    entry, _ = cache_sample(workspace, inspecting, root, TRAIN)
    assert entry.remarks == (f"soft ({entry.height}, {entry.width})",)
    assert seen == [root / "labels/a.png"]
    assert cache_sample(workspace, inspecting, root, replace(TRAIN, label=None, split="test"))[0].remarks == ()


def test_the_same_pixels_have_the_same_hash_and_others_another(workspace: Workspace, track: Track, root: Path) -> None:
    pixels = np.asarray(Image.open(root / "images/a.png"))
    save(root / "images/copy.png", np.stack([pixels] * 3, axis=2))  # another file of the same picture
    save(root / "images/turned.png", pixels.reshape(14, 10))  # the same bytes in another shape
    hashes = []
    for name in ("a", "copy", "turned", "b"):
        sample = replace(TRAIN, key=name, images=(f"images/{name}.png",), label=None, split="test")
        hashes.append(cache_sample(workspace, track, root, sample)[0].pixels)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_views_are_cached_one_by_one_with_statistics_of_their_own(workspace: Workspace, root: Path) -> None:
    entry, problems = cache_sample(workspace, TWO_VIEWS, root, replace(PATIENT, targets=(1,)))
    images = [np.asarray(Image.open(root / f"test/1{view}.png"), np.float64) for view in "AB"]
    for view, image in zip("AB", images, strict=True):
        np.testing.assert_array_equal(read_cached_image(workspace, "1", view), image)
    assert problems == []
    assert (entry.present, entry.targets) == ((True, True), (1,))
    assert entry.mean == pytest.approx((images[0].mean(), images[1].mean()))
    assert entry.std == pytest.approx((images[0].std(), images[1].std()))


@pytest.mark.parametrize("broken", [0, 1])
def test_a_test_view_that_cannot_be_read_is_masked_and_reported(workspace: Workspace, root: Path, broken: int) -> None:
    path = root / f"test/1{'AB'[broken]}.png"
    path.write_bytes(path.read_bytes()[:60])
    entry, problems = cache_sample(workspace, TWO_VIEWS, root, PATIENT)
    whole = np.asarray(Image.open(root / f"test/1{'AB'[1 - broken]}.png"), np.float64)
    assert entry.present == (broken != 0, broken != 1)
    assert (read_cached_image(workspace, "1", "AB"[broken]) == np.zeros(SIZE_HW)).all()
    assert (entry.mean[broken], entry.std[broken]) == (0, 1)  # black stays black, and nothing is divided by zero
    assert (entry.mean[1 - broken], entry.std[1 - broken]) == pytest.approx((whole.mean(), whole.std()))
    assert [(problem.key, problem.split, problem.path) for problem in problems] == [
        ("1", "test", f"test/1{'AB'[broken]}.png")
    ]
    assert problems[0].reason.startswith("image can't be read (")
    assert problems[0].reason.endswith("; the view is masked")


def test_a_view_that_was_never_taken_is_absent_without_a_problem(workspace: Workspace, root: Path) -> None:
    entry, problems = cache_sample(workspace, TWO_VIEWS, root, replace(PATIENT, images=(None, "test/1B.png")))
    assert (entry.present, problems) == ((False, True), [])
    assert not read_cached_image(workspace, "1", "A").any()


def test_a_training_view_that_cannot_be_read_is_an_error(workspace: Workspace, root: Path) -> None:
    (root / "test/1B.png").write_bytes(b"")
    sample = replace(PATIENT, split="train", targets=(0,))
    for fill in (False, True):
        with pytest.raises(CompetitionError, match=r"can't be read .*1B\.png"):
            cache_sample(workspace, TWO_VIEWS, root, sample, fill=fill)
        with pytest.raises(CompetitionError, match="no image of it can be read"):
            cache_sample(workspace, TWO_VIEWS, root, replace(sample, images=(None, None)), fill=fill)


def test_a_test_sample_without_any_view_is_an_error_or_black_where_asked(workspace: Workspace, root: Path) -> None:
    for view in "AB":
        (root / f"test/1{view}.png").unlink()
    with pytest.raises(CompetitionError, match=r"no image of it can be read \(image not found\): .*1A\.png"):
        cache_sample(workspace, TWO_VIEWS, root, PATIENT)
    assert not workspace.cache_folder().exists()
    entry, problems = cache_sample(workspace, TWO_VIEWS, root, PATIENT, fill=True)
    assert (entry.present, entry.height, entry.width) == ((False, False), 5, 6)
    assert (entry.mean, entry.std) == ((0, 0), (1, 1))
    assert len(problems) == 2
    for view in "AB":
        np.testing.assert_array_equal(read_cached_image(workspace, "1", view), np.zeros((5, 6)))


def test_a_filled_colour_image_of_no_fixed_size_is_black_in_colour(workspace: Workspace, root: Path) -> None:
    track = replace(TWO_VIEWS, views=("A",), channels=3, size_hw=None)
    sample = replace(PATIENT, images=("absent.png",))
    entry, _ = cache_sample(workspace, track, root, sample, fill=True)
    assert read_cached_image(workspace, "1", "A").shape == (entry.height, entry.width, 3)


def test_a_label_that_does_not_fit_is_an_error_and_nothing_counts_as_cached(
    workspace: Workspace, track: Track, root: Path
) -> None:
    good, _ = cache_sample(workspace, track, root, replace(TRAIN, key="other"))
    save(root / "labels/a.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(CompetitionError, match=r"mask is 3x3 pixels, its image 10x14 \(rows x columns\): .*a\.png"):
        cache_sample(workspace, track, root, TRAIN)
    assert not is_cached(workspace, track, replace(good, sample="a"))


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), RecursionError("deep"), ZeroDivisionError()])
def test_whatever_a_reader_raises_is_a_sentence_with_its_file(
    workspace: Workspace, track: Track, root: Path, error: Exception
) -> None:
    def fail(path: Path, *_: object) -> np.ndarray:
        raise error

    with pytest.raises(CompetitionError, match=r"images/a\.png"):
        cache_sample(workspace, replace(track, read_image=fail), root, TRAIN)
    with pytest.raises(CompetitionError, match=r"labels/a\.png"):
        cache_sample(workspace, replace(track, read_label=fail), root, TRAIN)


def test_ctrl_c_is_no_problem_of_a_sample(workspace: Workspace, track: Track, root: Path) -> None:
    def fail(path: Path) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_sample(workspace, replace(track, read_image=fail), root, TRAIN)


def test_the_exif_orientation_is_named_where_it_alone_parts_label_and_image(
    workspace: Workspace, track: Track, root: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros(SIZE_HW, np.uint8)).save(root / "images/a.png", exif=exif)
    with pytest.raises(CompetitionError, match=r"a\.png was turned by its EXIF orientation 6: .*labels/a\.png"):
        cache_sample(workspace, track, root, TRAIN)
    save(root / "labels/a.png", np.zeros(SIZE_HW[::-1], np.uint8))
    entry, _ = cache_sample(workspace, track, root, TRAIN)
    assert (entry.height, entry.width) == SIZE_HW[::-1]
