#!/bin/sh
# First boot of the host: Docker and Compose of Ubuntu, and the data volume at /srv/soulcaster, made a file system only when it is
# empty. Safe to run again.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends docker.io docker-compose-v2 git jq unattended-upgrades xfsprogs
snap install aws-cli --classic

# The volume is attached after the machine has started. Nitro machines show it as the one disk without partitions.
tries=0
while [ "$tries" -lt 60 ]; do
    volume=$(lsblk -dnpo NAME,TYPE | awk '$2 == "disk" {print $1}' | while read -r disk; do
        [ "$(lsblk -npo NAME "$disk" | wc -l)" -gt 1 ] || echo "$disk"
    done | head -n 1)
    [ -z "$volume" ] || break
    tries=$((tries + 1))
    sleep 5
done
[ -n "$volume" ] || { echo "no data volume after five minutes; attach it and run this again" >&2; exit 1; }

blkid "$volume" >/dev/null || mkfs.xfs "$volume"
mkdir -p /srv/soulcaster
id=$(blkid -s UUID -o value "$volume")
grep -q "$id" /etc/fstab || echo "UUID=$id /srv/soulcaster xfs defaults,nofail 0 2" >>/etc/fstab
mountpoint -q /srv/soulcaster || mount /srv/soulcaster
systemctl enable --now docker
