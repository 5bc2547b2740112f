#!/bin/sh
# All steps that make the agent's image out of a clean Debian 13, run as root: agent/Containerfile calls it, and a test calls it in
# a root made by debootstrap. The package files of the coding tools lie in /opt/tools already.
#
# Debian's packages are those of one stable release, signed by Debian; the tools are those of the lock, by checksum, and no
# install script of theirs runs.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates git make nodejs npm python3 python3-pytest python3-venv
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

groupadd --gid 10001 agent
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /job --shell /usr/sbin/nologin agent
install -d -o 10001 -g 10001 /job

cd /opt/tools
npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
rm -rf /root/.npm
