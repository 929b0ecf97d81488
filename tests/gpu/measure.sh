#!/usr/bin/env bash
# Measure two experiments at full size on a graphics card, in less than eight minutes, and print the table that
# docs/measurements.md shows. With --tiny the script itself is tried out, on the processor too.
set -euo pipefail
home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$home"
export NO_ALBUMENTATIONS_UPDATE=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
export PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}
exec timeout 480 "${PYTHON:-$home/.venv/bin/python}" tests/gpu/measure.py "$@"
