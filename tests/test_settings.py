from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from competition.errors import CompetitionError
from competition.settings import Experiment, load_experiment
from competition.text import nearest_hint

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("data: {size: 256}\ntrain: {lr: 2.0e-4, epochs: 7}\n")
    return path


def failure(path: Path, *overrides: str) -> str:
    with pytest.raises(CompetitionError) as caught:
        load_experiment(path, overrides)
    return str(caught.value)


def test_a_file_names_only_what_differs_from_the_defaults(file: Path) -> None:
    experiment = load_experiment(file)
    assert (experiment.data.size, experiment.train.lr, experiment.train.epochs) == (256, 2e-4, 7)
    changed = experiment.model_dump()
    changed["data"]["size"] = 512
    changed["train"] |= {"lr": 1e-3, "epochs": 30}
    assert changed == Experiment().model_dump()


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing differs\n")
    assert load_experiment(tmp_path / "empty.yaml") == Experiment()


def test_the_written_settings_read_back_the_same(file: Path) -> None:
    overrides = ["predict.views=[identity, hflip]", "model.init=start/weights.pt", "model.decoder_channels=[64, 32]"]
    experiment = load_experiment(file, overrides)
    file.write_text(experiment.to_yaml())
    assert load_experiment(file) == experiment
    assert load_experiment(file).hash() == experiment.hash()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trian: {lr: 1}", ["'trian'", "did you mean 'train'"]),
        ("train: {epoch: 1}", ["'train.epoch'", "'train.epochs'"]),
        ("model: {encodr: x}", ["'model.encodr'", "'model.encoder'"]),
        ("data: {xyzzy: 1}", ["'data.xyzzy'", "known are data.size, data.crop, data.oversample"]),
        (
            "data: {crop_to: {runn: quick}}",
            ["'data.crop_to.runn'", "'data.crop_to.run'", "data.crop_to.classes: Field required"],
        ),
        ("train: {lrr: 1}\npredict: {tiles: 8}", ["'train.lrr'", "'train.lr'", "'predict.tiles'", "'predict.tile'"]),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text(text)
    message = failure(path)
    for part in [*expected, "typo.yaml"]:
        assert part in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", "not valid YAML"),
        ("[1, 2]", "mapping of sections"),
        ("train: {lr: -1}", "train.lr"),
        ("train: {lr: .nan}", "train.lr"),
        ("train: {lr: .inf}", "train.lr"),
        ("train: {epochs: 0}", "given: 0"),
        ("data: {classes: []}", "data.classes"),
        ("data: {crop_to: {run: quick, classes: [Ulna], margin: -0.1}}", "data.crop_to.margin"),
        ("data: {crop_to: {run: quick, classes: [Ulna]}, pseudo: other}", "it can't go with data.pseudo"),
        ("train: {optimizer: adam}", "given: 'adam'"),
        ("train: {1: 2}", "train.1"),
        ("data: {size: 64, crop: 65}", "data.crop 65 is larger than data.size 64"),
        (
            "model: {architecture: report_fourfold}",
            "model.architecture report_fourfold needs train.loss four_sets, not bce_dice",
        ),
        (
            "model: {architecture: contrastive}\ntrain: {loss: four_sets}",
            "contrastive needs train.loss bce_first_and_own, not four_sets",
        ),
        ("train: {loss: four_sets}", "train.loss four_sets needs model.architecture report_fourfold, not Unet"),
        (
            "train: {loss: bce_first_and_own}",
            "train.loss bce_first_and_own needs model.architecture contrastive or reconstructed, not Unet",
        ),
        ("data: {size: 64}\npredict: {tile: 65}", "predict.tile 65 is larger than data.size 64"),
        ("predict: {overlap: 1}", "predict.overlap"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_file(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    message = failure(path)
    assert expected in message
    assert "wrong.yaml" in message


def test_crop_and_tile_may_be_as_large_as_the_image(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("data: {size: 64, crop: 64}\npredict: {tile: 64}")
    assert load_experiment(path).data.crop == 64


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    assert "no such experiment file" in failure(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "binary.yaml" in failure(tmp_path / "binary.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert "folder.yaml" in failure(tmp_path / "folder.yaml")


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.lr=1e-4", "train", "lr", 1e-4),
        ("train.lr=0.5", "train", "lr", 0.5),
        ("train.epochs=1e1", "train", "epochs", 10),
        ("train.clip=null", "train", "clip", None),
        ("train.ema=false", "train", "ema", False),
        ("model.encoder=resnet18", "model", "encoder", "resnet18"),
        ("predict.views=[identity, hflip]", "predict", "views", ("identity", "hflip")),
        ("model.init=a=b.pt", "model", "init", Path("a=b.pt")),
        ("model.prior=0.1", "model", "prior", 0.1),
    ],
)
def test_set_overrides_one_setting_and_nothing_else(
    file: Path, override: str, section: str, key: str, value: object
) -> None:
    plain, changed = load_experiment(file).model_dump(), load_experiment(file, [override]).model_dump()
    assert changed[section].pop(key) == value
    del plain[section][key]
    assert changed == plain


def test_the_last_set_wins(file: Path) -> None:
    assert load_experiment(file, ["train.lr=1", "train.lr=2"]).train.lr == 2


def test_an_exponent_without_a_dot_is_a_number_in_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "exponent.yaml"
    path.write_text("train: {lr: 1e-4}")
    assert load_experiment(path).train.lr == 1e-4


@pytest.mark.parametrize("override", ["train.lr", "lr=1", "a.b.c=1", "=1", ""])
def test_a_set_of_another_form_is_explained(file: Path, override: str) -> None:
    assert "SECTION.KEY=VALUE" in failure(file, override)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lrr=1", "did you mean 'train.lr'"),
        ("tarin.lr=1", "did you mean 'train'"),
        ("train.lr=[", "--set train.lr=["),
        ("train.lr=fast", "given: 'fast'"),
        ("train.lr=", "train.lr"),
        ("data.size=999999999999.5", "data.size"),
    ],
)
def test_a_wrong_set_is_an_error_in_one_sentence(file: Path, override: str, expected: str) -> None:
    assert expected in failure(file, override)


# One other value for every setting there is; a new setting has to be added here.
OTHER: dict[str, dict[str, object]] = {
    "model": {
        "architecture": "FPN",
        "encoder": "resnet18",
        "anterior_encoder": "resnet18",
        "pretrained": False,
        "width": 8,
        "decoder_channels": [8, 4],
        "init": "start.pt",
        "prior": 0.02,
        "dropout": 0.1,
    },
    "data": {
        "size": 513,
        "crop": 64,
        "oversample": 3,
        "augmentation": "none",
        "preprocess": ["invert"],
        "flip": True,
        "copy_paste": 0.5,
        "pseudo": "teacher",
        "classes": ["Ulna"],
        "crop_to": {"run": "quick", "classes": ["Ulna"]},
        "shuffle_labels": True,
        "workers": 3,
    },
    "train": {
        "epochs": 31,
        "batch_size": 9,
        "accumulate": 2,
        "repeats": 2,
        "loss": "bce",
        "class_weights": "balanced",
        "optimizer": "sgd",
        "lr": 2e-3,
        "weight_decay": 0.0,
        "momentum": 0.8,
        "schedule": "step",
        "warmup_epochs": 2.0,
        "step_epochs": 11,
        "step_factor": 0.2,
        "clip": None,
        "ema": False,
        "precision": "fp32",
        "seed": 1,
        "gradient_checkpointing": True,
        "compile": True,
        "deterministic": False,
        "validate_every": 6,
        "keep_every": 5,
    },
    "predict": {"views": ["identity", "hflip"], "tile": 64, "overlap": 0.25},
}


# They shape neither the weights nor the maps, but for the last bits.
WITHOUT_EFFECT = {("data", "workers"), ("train", "gradient_checkpointing"), ("train", "compile")}


def test_the_hash_changes_with_every_setting_that_shapes_the_weights() -> None:
    default = Experiment()
    hashes = {default.hash()}
    for section, settings in default.model_dump(exclude={"plugins"}).items():
        assert set(OTHER[section]) == set(settings)
        for key, value in OTHER[section].items():
            changed = Experiment.model_validate({section: {key: value}})
            assert changed != default
            if (section, key) in WITHOUT_EFFECT:
                assert changed.hash() == default.hash()
            else:
                hashes.add(changed.hash())
    assert len(hashes) == 1 + sum(len(settings) for settings in OTHER.values()) - len(WITHOUT_EFFECT)
    assert {len(text) for text in hashes} == {10}


def test_the_hash_of_the_defaults_is_what_it_was() -> None:
    assert Experiment().hash() == "6027c4350b"


def test_compilation_and_checkpointing_exclude_each_other(file: Path) -> None:
    message = failure(file, "train.compile=true", "train.gradient_checkpointing=true")
    assert "train.compile can't go with train.gradient_checkpointing" in message


def test_the_hash_does_not_depend_on_the_order_or_on_naming_a_default() -> None:
    one = Experiment.model_validate({"train": {"lr": 0.1, "epochs": 2}, "data": {"size": 8}})
    other = Experiment.model_validate({"data": {"size": 8, "oversample": 4}, "train": {"epochs": 2, "lr": 0.1}})
    assert one.hash() == other.hash()


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Experiment().train.lr = 1.0  # type: ignore[misc]


def test_a_name_near_several_lists_them_nearest_first() -> None:
    assert nearest_hint("finger-99", ["finger-9", "Radius", "finger-19"]).startswith(", did you mean 'finger-9' or ")
    assert nearest_hint("zzz", ["a", "b"]) == "; known are a, b"


@pytest.mark.parametrize("path", sorted((REPOSITORY / "pipelines" / "experiments").glob("*/*.yaml")), ids=str)
def test_every_shipped_experiment_is_read_and_short(path: Path) -> None:
    load_experiment(path)
    assert len(path.read_text().splitlines()) <= 20
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_of_several_settings_those_at_fault_are_named(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("{}")
    for name, value in (("train.epochs", "two"), ("data.preprocess", "[1]"), ("train.lrr", "1")):
        with pytest.raises(CompetitionError) as caught:
            load_experiment(tmp_path / "e.yaml", ["data.size=128", f"{name}={value}", "train.seed=3"])
        assert caught.value.where == f"--set {name}={value}"


def test_auto_is_one_run_with_the_default_of_earlier_versions():
    hashes = {wanted: Experiment(train={"deterministic": wanted}).hash() for wanted in ("auto", True, False)}
    assert hashes["auto"] == hashes[True] != hashes[False]
    with pytest.raises(ValidationError):
        Experiment(train={"deterministic": "sometimes"})
