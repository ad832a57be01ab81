#!/bin/sh
# SPDX-License-Identifier: ISC
# deps.sh build|check: installs the Debian packages that are missing for building and running, or
# also for the tests. Says what it does; does nothing where nothing is missing.
set -eu

build='gcc make libc6-dev libevent-dev libconfuse-dev libseccomp-dev libxxhash-dev libbsd-dev libssl-dev libjansson-dev libmicrohttpd-dev libc-ares-dev libtdb-dev libpcre2-dev s6 libfuse3-dev musl-tools'
check="$build check libsubunit-dev fuse3 e2fsprogs xfsprogs util-linux iproute2 mount perl valgrind strace mandoc python3 procps debootstrap shellcheck"

case ${1-} in
build) want=$build ;;
check) want=$check ;;
*) echo "usage: deps.sh build|check" >&2; exit 64 ;;
esac

missing=
for p in $want; do
	dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

root=
[ "$(id -u)" = 0 ] || root=sudo
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$root apt-get -qq install -y --no-install-recommends $missing >/dev/null 2>&1 || {
	$root apt-get -qq update
	$root apt-get -qq install -y --no-install-recommends $missing >/dev/null
}
