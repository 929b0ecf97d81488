"""Where the tasks of a stage run. A stage defines what to run, an executor where."""

from pipelines.executors.local import LocalExecutor
from pipelines.executors.task import Executor

EXECUTORS: dict[str, Executor] = {"local": LocalExecutor()}
"""Name -> executor."""
