#!/bin/sh
# SPDX-License-Identifier: ISC
# units.sh VARIANT|valgrind PROGRAM...: runs unit test programs, two at a time; shows all output of those that
# fail, and a line of counts at the end.
set -u

variant=$1
shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# shellcheck disable=SC2016
printf '%s\n' "$@" | xargs -P 2 -n 1 sh -c '
	name=$(echo "$3" | tr / _)
	begun=$(date +%s)
	if [ "$1" = valgrind ]; then
		CK_TIMEOUT_MULTIPLIER=5 valgrind -q --error-exitcode=99 --leak-check=no "$3" >"$2/$name" 2>&1
	else
		"$3" >"$2/$name" 2>&1
	fi && rm "$2/$name"
	echo "$(($(date +%s) - begun)) $3" >>"$2/times"
	exit 0
' sh "$variant" "$out"
sort -rn "$out/times" | sed -n "1,${SLOWEST:-3}s/^/slowest, seconds: /p"
total=$#
rm -f "$out/times"
failed=0
for f in "$out"/*; do
	[ -e "$f" ] || continue
	failed=$((failed + 1))
	echo "FAILED ($variant):"
	cat "$f"
done
echo "unit tests, $variant: $((total - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
