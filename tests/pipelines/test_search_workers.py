"""The workers of a search run the command that a user would type to take part in it."""

import pytest
import yaml

import pipelines.search
from competition.errors import CompetitionError
from pipelines.__main__ import build_parser


class Recorder:
    def __init__(self):
        self.tasks = []

    def run(self, tasks):
        self.tasks = list(tasks)
        raise CompetitionError("that is all")


@pytest.fixture
def workers(stage_on, tiny_hands, tiny_experiment, monkeypatch):
    """The commands of the workers that some options start."""
    monkeypatch.setattr(pipelines.search, "run_search", lambda *_: pytest.fail("in this process"))
    path = tiny_hands.workspace.root / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_experiment().model_dump(mode="json")))

    def start(**options):
        recorder = Recorder()
        monkeypatch.setattr(pipelines.search, "open_executor", lambda *_: recorder)
        with pytest.raises(CompetitionError, match="that is all"):
            stage_on(pipelines.search, tiny_hands, experiment=path, **options)
        return recorder.tasks

    return start


def test_each_worker_takes_part_with_the_same_options(workers):
    options = {"trials": 7, "fold": 1, "name": "mine", "space": ["train.lr=log:1e-4:1e-2"], "set": ["train.epochs=1"]}
    tasks = workers(workers=3, **options)
    assert [task.name for task in tasks] == ["worker 1", "worker 2", "worker 3"]
    assert len({tuple(task.command) for task in tasks}) == 1
    args = build_parser("search", pipelines.search).parse_args([*tasks[0].command[1:]])
    assert {name: getattr(args, name) for name in options} == options
    assert (args.workers, args.on) == (1, "local")


def test_one_worker_may_run_elsewhere(workers):
    (task,) = workers(on="ray")
    assert "--on" not in task.command


def test_a_search_needs_a_worker(refusal):
    assert "--workers 0: at least one process is required" in refusal("search", "--workers", "0")[0]
