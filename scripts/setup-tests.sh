#!/bin/sh
# Installs what the tests need and is missing, and says what it does. Changes nothing when all is
# there. Without apt it names what to install and exits 2.
set -eu

missing=""
need() { # need COMMAND PACKAGE...
    command=$1
    shift
    if ! command -v "$command" >/dev/null 2>&1; then
        echo "setup-tests: '$command' is missing (package: $*)"
        missing="$missing $*"
    fi
}

need git git
need cc gcc libc6-dev
need openssl openssl
need unzip unzip
# Objectives are asked of a real one.
need prometheus prometheus
# The example of `platform: exec` runs in front of one. It lives in a folder of its own on Debian.
[ -x /usr/sbin/nginx ] || need nginx nginx-light
# Servers live in a folder for each version, which is not on PATH.
if ! command -v postgres >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    need postgres postgresql postgresql-contrib
fi
need ps procps
need psql postgresql-client
# macOS calls it shasum.
command -v shasum >/dev/null 2>&1 || need sha256sum coreutils

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup-tests: 'cargo' is missing: install Rust as https://rustup.rs says" >&2
    exit 2
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup-tests: there is no apt-get here; install with your package manager:$missing" >&2
    exit 2
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup-tests: neither root nor sudo; as root: apt-get install$missing" >&2
        exit 2
    fi
    as_root="sudo"
fi

echo "setup-tests: ${as_root:+$as_root }apt-get install$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # both are lists of words
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing
