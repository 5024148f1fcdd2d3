#!/usr/bin/env bash
# Build stand-ins for the official images by debootstrap, for machines that reach no image registry.
# Packages come from where this machine's apt and pip get theirs, and what this machine trusts is trusted.
set -euo pipefail
cd "$(dirname "$0")"
export CONTAINERS_CONF=$PWD/containers.conf

if ! podman image exists localhost/debian; then
  root=$(mktemp --directory)
  trap 'rm -rf "$root"' EXIT
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror"
  cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
  chroot "$root" update-ca-certificates
  certificates=/etc/ssl/certs/ca-certificates.crt
  tar -C "$root" -c . | podman import --change "ENV SSL_CERT_FILE=$certificates" --change "ENV PIP_CERT=$certificates" - localhost/debian
fi
while read -r target name; do
  podman image exists "$name" || podman build --isolation chroot --build-context s3-server=../../.s3-server --target "$target" --tag "$name" .
done <<NAMES
python docker.io/library/python:3.11-slim-bookworm
postgres docker.io/library/postgres:18
typesense docker.io/typesense/typesense:30.1
nginx docker.io/library/nginx:1.29
redis docker.io/library/redis:7.2-bookworm
versitygw docker.io/versity/versitygw:v1.8.0
NAMES
