"""completion: print a script that completes stages, options, tracks, experiments and run names in a shell."""

import argparse
from typing import Any

from competition.console import say
from pipelines.completion_script import SHELLS, completion_script

HELP = (
    "Print a script that completes stages, options, tracks, experiments, runs and decisions of ./run.sh and medcomp.\n"
    "To install it, put this line into ~/.bashrc or ~/.zshrc, with the path of your checkout:\n"
    '  eval "$(~/medcomp/run.sh completion bash)"     or     eval "$(~/medcomp/run.sh completion zsh)"'
)
EXAMPLE = "./run.sh completion bash"
FIGURES = {
    "shell": "Text: the shell, bash or zsh.",
    "script": "Text: the script that was printed.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Print the script; see HELP.

    Returns:
        ``FIGURES``.
    """
    script = completion_script(args.shell)
    say(script.rstrip())
    return {"shell": args.shell, "script": script}
