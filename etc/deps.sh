#!/bin/sh
# Installs the Debian packages named as arguments that are not there yet; says so before it does.
set -eu
# The only thing apt cannot give: Debian's own Go is too old.
if ! command -v "${GO:-go}" >/dev/null; then
	echo "missing: Go 1.26 or newer, from https://go.dev/dl/ (then: export PATH=\$PATH:/usr/local/go/bin)" >&2
	exit 1
fi
missing=
for package in "$@"; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
	echo "missing:$missing; there is no apt-get here: install what they are called on this system" >&2
	exit 1
fi
root=
[ "$(id -u)" -eq 0 ] || root=sudo
echo "installing with ${root:+$root }apt-get:$missing"
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -qq
# shellcheck disable=SC2086
$root apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "installed:$missing"
