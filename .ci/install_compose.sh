#!/usr/bin/env bash
# Installs Docker Compose 2, which Debian 12 does not have, from Debian 13's package: it needs no more of a system
# than Debian 12 offers. The machine's own package lists stay as they are. Needs root.
set -euo pipefail

docker compose version >/dev/null 2>&1 && exit 0

# shellcheck source=serving/apt_mirror.sh
. "$(dirname "${BASH_SOURCE[0]}")/../serving/apt_mirror.sh"

keys=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt_mirror)
[ -n "$mirror" ] || {
    echo "install_compose: no Debian mirror in this machine's apt sources; install Docker Compose 2.23.1 or newer" >&2
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
mkdir -p "$folder/lists/partial"
echo "deb [signed-by=$keys] $mirror trixie main" >"$folder/sources.list"
apt=(-qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$folder/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
(cd "$folder" && apt-get "${apt[@]}" download docker-compose)
dpkg --install "$folder"/docker-compose_*.deb >/dev/null
docker compose version
