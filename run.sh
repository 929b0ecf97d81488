#!/usr/bin/env bash
# Make .venv at first use (or when pyproject.toml changed), then run a stage:
#   ./run.sh            list the stages
#   ./run.sh demo       run the whole pipeline on synthetic data: no download, no GPU
#   ./run.sh test       run ruff, mypy and the tests, all but the exhaustive ones
#   ./run.sh test quick      the same without the slow tests, in less than a minute
#   ./run.sh test exhaustive   only these: statistics over many draws, large images, every shipped experiment
#   ./run.sh test coverage   all but the trust tests, whose limits are in seconds; lists uncovered lines
#   ./run.sh test trust --inputs 50000   only the fuzz and kill tests, here with more damaged files than usual
set -euo pipefail

home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$home/.venv
python=$venv/bin/python
stamp=$venv/installed.sha256
export PYTHONSAFEPATH=1 # otherwise a statistics.py in the current folder would be run in place of Python's own module

fail() { echo "run.sh: $*" >&2; exit 1; }

fingerprint() {
    # Plain Python, because sha256sum is not on every Mac.
    "$1" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read() + sys.argv[2].encode()).hexdigest())' \
        "$home/pyproject.toml" "$home"
}

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found. Install it (for example: apt install python3 python3-venv), then run this again."
}

# PyPI's torch for Linux carries CUDA (5 GB more), for cards of compute capability 7.5 and drivers of 580 and newer.
# PyTorch's own index has a build without CUDA, and one for older cards and drivers (5.0 and 525).
torch_build() {
    [ "$(uname -sm)" = "Linux x86_64" ] || return 0
    local cards
    if ! cards=$(nvidia-smi --query-gpu=compute_cap,driver_version --format=csv,noheader 2>/dev/null); then
        echo cpu
        return
    fi
    awk -F'[., ]+' '10 * $1 + $2 < 75 || $3 < 580 { older = 1 } END { if (older) print "cu126" }' <<<"$cards"
}

set_up() {
    local base build wanted size="about 7 GB" log=$venv/pip.log
    base=$(find_python)
    build=$(torch_build)
    if [ "$build" = cpu ] || [ "$(uname -s)" = Darwin ]; then size="about 2 GB"; fi
    echo "run.sh: setting up $venv with $("$base" --version) (once, a few minutes: the packages are $size)" >&2
    # An interrupted set-up may have left half an environment without a stamp; start again.
    rm -rf "$venv"
    "$base" -m venv "$venv" || fail "python -m venv failed. On Debian or Ubuntu: apt install python3-venv, then run this again."
    # A team that has configured an index of its own gets its packages from there alone.
    if [ -n "$build" ] && ! "$python" -m pip config list 2>/dev/null | grep -q index-url; then
        echo "run.sh: installing PyTorch's build $build, which suits this machine" >&2
        wanted=$(sed -n 's/^ *"\(torch\(vision\)\{0,1\}[<>=][^"]*\)".*/\1/p' "$home/pyproject.toml")
        # shellcheck disable=SC2086  # two words
        "$python" -m pip install --disable-pip-version-check --no-compile --no-deps --retries 1 --timeout 20 \
            --index-url "https://download.pytorch.org/whl/$build" $wanted >"$log" 2>&1 ||
            echo "run.sh: it can't be fetched ($log); continuing with PyPI's, which is larger and may not use an older card" >&2
    fi
    echo "run.sh: installing the packages of pyproject.toml (log: $log)" >&2
    if ! "$python" -m pip install --disable-pip-version-check --no-compile --editable "$home[test]" >>"$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "pip could not install the packages; the whole log is $log. Fix the error, then run this again."
    fi
    # Python compiles what it imports, 4,054 of 15,999 files, in 15 s instead of 78 s of a core. Where it must not write
    # them, all are compiled here; files that are no valid Python, such as templates, are skipped.
    [ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || "$python" -m compileall -qq -j 0 "$venv/lib" || true
    fingerprint "$python" >"$stamp"
    echo "run.sh: set-up done" >&2
}

installed() { [ -x "$python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "$python")" ]; }

if ! installed; then
    # Two terminals must not set up the same folder at once; without flock (macOS) the user must take care.
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$home/.venv.lock"
        flock 9
    fi
    installed || set_up
    if command -v flock >/dev/null 2>&1; then exec 9>&-; fi
fi

export NO_ALBUMENTATIONS_UPDATE=1 # otherwise albumentations looks for a newer version online at every import
# Threads that wait in a busy loop starve each other on shared cores (a virtual machine, a second job): a training step
# of 0.2 s then took 3 to 7 s on two cores. Sleeping costs nothing measurable on free cores.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
# glibc keeps up to 1 GiB of the memory that a training step frees, and torch uses large pages. Otherwise each step
# returns, fetches and clears 6,000 pages or more: five folds took 145 s instead of 132 s, with the same weights. Other systems
# ignore these.
export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-33554432}
export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-1073741824}
export THP_MEM_ALLOC_ENABLE=${THP_MEM_ALLOC_ENABLE:-1}
# Batches of changing sizes leave holes in a GPU's memory, which torch can then fill.
export PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}

# The tests of a file stay together, because they share trained fixtures; tests/conftest.py puts long files first.
all_cores=(--numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder)
if [ "${1:-}" = test ]; then
    shift
    cd "$home"
    case ${1:-} in
    "") set -- -m "not exhaustive" "${all_cores[@]}" ;;
    quick) shift && set -- --ignore tests/trust --ignore tests/end_to_end -m "not slow and not e2e and not exhaustive" "${all_cores[@]}" "$@" ;;
    coverage) shift && set -- --ignore tests/trust --cov "${all_cores[@]}" "$@" ;;
    exhaustive) shift && exec "$python" -m pytest -m exhaustive "${all_cores[@]}" "$@" ;;
    trust) shift && exec "$python" -m pytest tests/trust --inputs 500 "$@" ;;
    *) exec "$python" -m pytest "$@" ;;
    esac
    "$python" -m ruff check .
    "$python" -m ruff format --check .
    # Beside the tests, because it takes a minute of one core.
    "$python" -m mypy >"$venv/mypy.log" 2>&1 &
    mypy=$! status=0
    trap 'kill "$mypy" 2>/dev/null || true' EXIT
    "$python" -m pytest "$@" || status=$?
    wait "$mypy" || status=1
    cat "$venv/mypy.log"
    exit "$status"
fi
exec "$python" -m pipelines "$@"
