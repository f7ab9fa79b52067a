#!/usr/bin/env bash
# Builds the CPU image that throwaway servers run in, and prints its id: build_image.sh [TAG].
#
# Nothing is built when an image of the same recipe exists. The base is Debian's own image by its registry name; where
# no registry answers, the same system is made with debootstrap (needs root) from this machine's own apt mirror.
# Packages come from where pip is configured to find them; a certificate bundle of this machine is used inside the
# build stage and is not part of the image.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tag=${1:-assay/vllm-cpu:0.32.0}
registry_base=debian:bookworm-slim
local_base=assay/debian:bookworm
entry="$here/../assay/adapters/container_entry.sh"
recipe_files=("$here/cpu.Dockerfile" "$here/install_runtime.sh" "$here/pip_settings.sh" "$here/requirements-cpu.lock"
    "$here/awq_without_avx512/awq_without_avx512.py" "$here/awq_without_avx512/pyproject.toml"
    "$here/tiny_model.py" "$here/warm_up.py" "$entry")

# shellcheck source=serving/pip_settings.sh
. "$here/pip_settings.sh"
# shellcheck source=serving/apt_mirror.sh
. "$here/apt_mirror.sh"

say() { printf 'serving image: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

recipe_digest() { cat "${recipe_files[@]}" | sha256sum | cut -d' ' -f1; }

make_base() {
    local root mirror
    command -v debootstrap >/dev/null ||
        die "no image registry answers for $registry_base and debootstrap is missing; run: apt-get install debootstrap"
    [ "$(id -u)" = 0 ] || die "no image registry answers for $registry_base; making a base needs root: run this as root"
    mirror=$(apt_mirror)
    root=$(mktemp -d)
    # shellcheck disable=SC2064  # the name is fixed now
    trap "rm -rf '$root'" RETURN
    say "making the base with debootstrap (about a minute)"
    # Without a mirror of this machine's, debootstrap knows Debian's own.
    debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >&2
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | docker import - "$local_base" >/dev/null
}

find_base() {
    if docker image inspect "$registry_base" >/dev/null 2>&1 ||
        timeout 120 docker pull --quiet "$registry_base" >/dev/null 2>&1; then
        echo "$registry_base"
        return
    fi
    docker image inspect "$local_base" >/dev/null 2>&1 || make_base
    echo "$local_base"
}

# What the build stage needs of this machine: indexes it can reach, certificates, wheels that no index has.
host_settings() { # DIRECTORY
    local links index extra bundle folder url
    mkdir -p "$1/wheels"
    links=$(pip_setting python3 find-links)
    index=$(pip_setting python3 index-url)
    extra=$(pip_setting python3 extra-index-url)
    bundle=$(pip_setting python3 cert)
    bundle=${bundle:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
    [ -f "$bundle" ] || die "no certificate bundle at '$bundle'; set PIP_CERT to one"
    cp "$bundle" "$1/ca.crt"
    for folder in $links; do
        [ -d "${folder#file://}" ] || continue
        find "${folder#file://}" -maxdepth 1 -name '*.whl' | while read -r wheel; do
            grep -qF "$(sha256sum "$wheel" | cut -d' ' -f1)" "$here/requirements-cpu.lock" && cp "$wheel" "$1/wheels/"
        done || true
    done
    {
        echo "[global]"
        echo "cert = /build/host/ca.crt"
        echo "find-links = /build/host/wheels"
        [ -z "$index" ] || echo "index-url = $index"
        # A folder of this machine is not there in the build.
        echo "extra-index-url ="
        for url in $extra; do [[ "$url" == file://* ]] || echo "    $url"; done
    } >"$1/pip.conf"
}

main() {
    local recipe found base context
    docker version >/dev/null 2>&1 || die "no Docker engine answers; start one (or use the process back end)"
    recipe=$(recipe_digest)
    # By name: an image built on top of ours would carry the same label.
    if found=$(docker image inspect --format '{{.Id}}' "$tag-${recipe:0:12}" 2>/dev/null); then
        docker tag "$found" "$tag"
        say "$tag is up to date"
        echo "$found"
        return
    fi
    base=$(find_base)
    context=$(mktemp -d)
    # shellcheck disable=SC2064  # the name is fixed now
    trap "rm -rf '$context'" EXIT
    cp "${recipe_files[@]}" "$context/"
    host_settings "$context/host"
    say "building $tag on $base (about four minutes)"
    docker build --network host --shm-size 512m --file "$context/cpu.Dockerfile" --build-arg "BASE=$base" \
        --build-arg "RECIPE=$recipe" --tag "$tag" --tag "$tag-${recipe:0:12}" "$context" >&2
    docker image inspect --format '{{.Id}}' "$tag"
}

main
