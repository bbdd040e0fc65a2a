#!/usr/bin/env bash
# Trains posterior estimators on tasks of the benchmark sbibm and scores them against its reference posteriors.
#
#   bash benches/sbibm/run.sh [--tasks A,B] [--simulations N,M] [--observations K] [--methods ours,zuko,nflows]
#                             [--json FILE] [--coverage] [--check]
#
# The script installs the Python libraries once, at the versions of requirements.txt, in a virtual environment outside
# the repository, and downloads the wheel of sbibm beside it without installing it. SBIBM_VENV sets the folder.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
here="$(cd "$(dirname "$0")" && pwd)"
venv="${SBIBM_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/burn-flows/sbibm}"
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
    "$venv/bin/pip" download --quiet --no-deps --dest "$venv/wheel" sbibm==1.1.0
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
exec "$venv/bin/python" "$here/compare.py" --wheel "$venv"/wheel/sbibm-1.1.0-*.whl "$@"
