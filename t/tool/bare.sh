#!/bin/sh
# SPDX-License-Identifier: ISC
#
# bare.sh BUILD [COMMAND...]: a bare Debian with git and make, a clean clone of what is committed here, and in it
# the commands, each by the shell; none given: the two of the README. Uses the network by this system's apt.
set -eu

build=$(mkdir -p "$1" && cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
[ $# -gt 0 ] || set -- 'make up' 'make down' 'make check'

sh "$here/debian.sh" make "$build/bare" git make
rm -rf "$build/bare/clone"
git clone -q --no-hardlinks "$top" "$build/bare/clone"
corpora=${CORPORA:-$top/../shared/corpora}
# A system with nothing amiss: a test that finds no machine or peers there fails.
words='cd /src/angarium; export SKIP_NOTHING=1;'
for c in "$@"; do
	words="$words echo \"bare: $c\"; $c || exit 1;"
done
set -- -n -b "$build/bare/clone:/src/angarium"
[ ! -d "$corpora" ] || set -- "$@" -b "$(cd "$corpora" && pwd):/src/shared/corpora"
exec sh "$here/debian.sh" machine "$build/bare" "$@" sh -c "$words"
