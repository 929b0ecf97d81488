"""The script that completes the command line in bash; zsh reads the same by its bashcompinit."""

import shlex
from pathlib import Path

from competition.installation import CHECKOUT, PACKAGE, REPOSITORY
from pipelines.__main__ import STAGES
from pipelines.options import DEFAULT_TRACK
from pipelines.stage_options import stage_options

SHELLS = ("bash", "zsh")
TRACKS = PACKAGE / "tracks"
PIPELINES = Path(__file__).resolve().parent

VALUES = {
    "--track": "_medcomp_offer @TRACKS@",
    "--experiment": "_medcomp_experiments",
    "--decision": "_medcomp_decisions",
    "--members": "_medcomp_members",
    "--name": '_medcomp_runs ""',
    "--pseudo": '_medcomp_runs ""',
}
"""Option -> what its value is completed by; other values are choices, or files."""

# Files are completed by the shell itself wherever COMPREPLY stays empty.
ZSH_START = """\
whence compdef >/dev/null || { autoload -U compinit; compinit; }
autoload -U bashcompinit; bashcompinit
"""

BODY = """\
# Completion of ./run.sh and medcomp, printed by ./run.sh completion.
_medcomp_offer() {  # the words that begin with what was typed; a name that the shell would expand is left out
    local word
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_.,:@+-]*) ;;
        "$typed"*) COMPREPLY+=("$word") ;;
        esac
    done
}

_medcomp_experiments() {
    local folder=@PIPELINES@/experiments file
    if [ -d "$folder/$track" ]; then folder=$folder/$track; else folder=$folder/folder; fi
    while IFS= read -r file; do
        file=${file##*/}
        _medcomp_offer "${file%.yaml}"
    done < <(find "$folder" -name "*.yaml")
}

_medcomp_runs() {  # trained runs and imported members, of real and of synthetic data
    local before=$1 file data
    for data in "$workspace/runs/$track" "$workspace/runs/phantom_$track"; do
        [ -d "$data" ] || continue
        while IFS= read -r file; do
            file=${file#"$data/"}
            _medcomp_offer "$before${file%%/*}"
        done < <(find "$data" -mindepth 2 -maxdepth 3 "(" -name config.yaml -o -name imported.json ")")
    done
}

_medcomp_members() {  # the last run of a list
    case $typed in
    *,*) _medcomp_runs "${typed%,*}," ;;
    *) _medcomp_runs "" ;;
    esac
}

_medcomp_decisions() {
    local file data
    for data in "$workspace/runs/$track" "$workspace/runs/phantom_$track"; do
        [ -d "$data/ensembles" ] || continue
        while IFS= read -r file; do
            file=${file%/*}
            _medcomp_offer "${file##*/}"
        done < <(find "$data/ensembles" -name decision.json)
    done
}

_medcomp() {
    local typed=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} stage=${COMP_WORDS[1]}
    local track=@TRACK@ workspace=${COMPETITION_WORKSPACE:-@WORKSPACE@} at=2
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        _medcomp_offer @STAGES@
        return 0
    fi
    while [ "$at" -lt "$((COMP_CWORD - 1))" ]; do
        case ${COMP_WORDS[at]} in
        --track) track=${COMP_WORDS[at+1]} track=${track##*/} track=${track%.*} ;;
        --workspace) workspace=${COMP_WORDS[at+1]} ;;
        esac
        at=$((at + 1))
    done
    case $workspace in "~"/*) workspace=$HOME/${workspace#"~/"} ;; esac
    case $before in
@VALUES@
    esac
    case $stage in
@OPTIONS@
    esac
    return 0
}
complete -o bashdefault -o default -F _medcomp medcomp run.sh ./run.sh
"""


def track_words() -> list[str]:
    """Return the names of the tracks from the files that declare them; importing the tracks takes a second."""
    folders = sorted(path.parent.name for path in TRACKS.glob("*/track.py"))
    return [*(name for name in folders if name != "declared"), *sorted(path.stem for path in TRACKS.glob("*.yaml"))]


def completion_script(shell: str) -> str:
    """Return the script for bash or zsh."""
    values = "\n".join(f"    {option}) {found}; return 0 ;;" for option, found in VALUES.items())
    parts = {
        "VALUES": values,
        "OPTIONS": "\n".join(map(_stage, STAGES)),
        "STAGES": " ".join([*STAGES, *(["test"] if CHECKOUT else [])]),
        "TRACKS": " ".join(track_words()),
        "TRACK": DEFAULT_TRACK,
        "PIPELINES": shlex.quote(str(PIPELINES)),
        "WORKSPACE": shlex.quote(str(REPOSITORY)) if CHECKOUT else "$PWD",
    }
    script = BODY
    for name, text in parts.items():
        script = script.replace(f"@{name}@", text)
    return script if shell == "bash" else ZSH_START + script


def _stage(stage: str) -> str:
    """Return the branch of a stage: values of its options, then its words and options."""
    options = stage_options(stage)
    given = {name: " ".join(words) for name, words in options.choices.items() if words}
    free = "|".join(name for name in options.choices if name not in given)
    words = " ".join([*options.positional, *options.flags, *options.choices, "--help"])
    start = "-*" if options.files and not options.positional else "*"  # otherwise the shell offers files
    lines = [f"{name}) _medcomp_offer {choices} ;;" for name, choices in given.items()]
    lines += [f"{free}) ;;", f"*) case $typed in {start}) _medcomp_offer {words} ;; esac ;;"]
    inside = "\n".join(f"        {line}" for line in lines)
    return f"    {stage})\n        case $before in\n{inside}\n        esac ;;"
