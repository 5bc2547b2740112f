#!/bin/sh
# Make .venv-checks: checkov, which reads infra/terraform. Apart from .venv: it pins versions of its own.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv-checks/.installed
wanted=$(cat infra/checks.lock infra/install-checks.sh | cksum)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
printf 'Installing checkov of infra/checks.lock into .venv-checks (once) ...\n' >&2
rm -rf .venv-checks
.venv/bin/python -m venv --without-pip .venv-checks
# The certificates this machine trusts, as pip does; uv would bring its own.
export VIRTUAL_ENV="$PWD/.venv-checks" UV_SYSTEM_CERTS=1
.venv/bin/uv pip install --quiet --require-hashes -r infra/checks.lock
printf '%s\n' "$wanted" >"$stamp"
