#!/bin/sh
# Make or repair .tools: the coding tools that the agent drives, exactly those of infra/tools/package-lock.json.
#
# No install script of any package runs. The lock holds checksums and no address, so npm fetches from wherever this machine
# fetches. Not `npm ci`: that wants the binaries of all platforms in the lock, also those a registry does not carry. The stamp
# is written last, so an interrupted install is done again.
set -eu
cd "$(dirname "$0")/.."

stamp=.tools/.installed
wanted=$(cat infra/tools/package.json infra/tools/package-lock.json infra/install-tools.sh | cksum)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
    printf 'The coding tools need Node.js 20 or newer with npm, found none; on Debian and Ubuntu: apt install nodejs npm.\n' >&2
    exit 1
fi
printf 'Installing the coding tools of infra/tools/package.json into .tools (once) ...\n' >&2
mkdir -p .tools
# npm brings certificates of its own; those the machine trusts (a company's proxy) are added.
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r /etc/ssl/certs/ca-certificates.crt ]; then
    export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
fi
rm -f "$stamp"
cp infra/tools/package.json infra/tools/package-lock.json .tools/
(cd .tools && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
printf '%s\n' "$wanted" >"$stamp"
