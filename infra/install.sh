#!/bin/sh
# Make or repair .venv: the pinned set of requirements.lock and this package. Run by `make`; does nothing when all is there.
#
# The stamp holds the checksums of what was installed and is written last, so an interrupted install is done again.
# LOCK names another lock that contains the first (requirements-dev.lock).
set -eu
cd "$(dirname "$0")/.."

lock=${LOCK:-requirements.lock}
stamp=.venv/.installed-$lock
wanted=$(cat requirements.lock "$lock" pyproject.toml infra/install.sh | cksum)
if [ -x .venv/bin/soulcaster ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi

say() { printf '%s\n' "$*" >&2; }

# A venv left half made has no working pip; one made by hand with the right Python is kept.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=""
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        found=$(python3 --version 2>/dev/null || echo "no python3 at all")
        say "Soulcaster needs Python 3.11, 3.12 or 3.13, found $found; install one, or name it: make run PYTHON=/path/to/python3."
        exit 1
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "$("$python" --version) here cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv."
        exit 1
    fi
    say "Making .venv with $("$python" --version) ..."
    rm -rf .venv
    "$python" -m venv .venv
fi

say "Installing the pinned packages of $lock (once; about a minute) ..."
rm -f "$stamp"
PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install --quiet "uv==0.13.9"
# The certificates this machine trusts, as pip does; uv would bring its own.
export VIRTUAL_ENV="$PWD/.venv" UV_SYSTEM_CERTS=1
.venv/bin/uv pip install --quiet --require-hashes -r "$lock"
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e .
printf '%s\n' "$wanted" >"$stamp"
