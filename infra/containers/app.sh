#!/bin/sh
# All steps that make Soulcaster's own image (server, worker, app, receiver) out of a clean Debian 13, run as root:
# infra/containers/app.Containerfile calls it, and a test calls it in a root made by debootstrap. The checkout lies in
# /opt/soulcaster already; what is installed there is what `make run` installs: requirements.lock, by checksum.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates git python3 python3-venv
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

groupadd --gid 10001 soulcaster
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin soulcaster
install -d -o 10001 -g 10001 /data /backups

# The root is read-only when it runs: what is not compiled now would be compiled at every start.
cd /opt/soulcaster
UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 infra/install.sh
.venv/bin/python -m compileall -q soulcaster flows tasks app
rm -rf /root/.cache
