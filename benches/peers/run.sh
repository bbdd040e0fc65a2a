#!/usr/bin/env bash
# Times the same workloads in this crate, zuko, nflows, normflows and FlowJAX, one call of each in turn.
#
#   bash benches/peers/run.sh [--json FILE] [--only REGEX] [--seconds N] [--compile [MODE ..]]
#
# The script installs the Python libraries once, at the versions of requirements.txt, in a virtual environment outside
# the repository. PEERS_VENV sets its folder.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
venv="${PEERS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/burn-flows/peers}"
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
manifest="$here/../../Cargo.toml"
cargo bench --manifest-path "$manifest" --bench peers --no-run
exec "$venv/bin/python" "$here/compare.py" --ours "$manifest" "$@"
