#!/bin/sh
# Make .venv-peers: the other programs that benchmarks measure ours against, apart from .venv so that they cannot change it.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv-peers/.installed
wanted=$(cat benchmarks/peers.txt infra/install-peers.sh | cksum)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
printf 'Installing the peers of benchmarks/peers.txt into .venv-peers ...\n' >&2
rm -rf .venv-peers
.venv/bin/python -m venv .venv-peers
VIRTUAL_ENV="$PWD/.venv-peers" .venv/bin/uv pip install --quiet -r benchmarks/peers.txt
printf '%s\n' "$wanted" >"$stamp"
