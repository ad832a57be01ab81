#!/bin/sh
# SPDX-License-Identifier: ISC
# units.sh VARIANT|valgrind PROGRAM...: runs unit test programs, one line each, all output of those that fail.
set -u

variant=$1
shift
passed=0 failed=0
for t in "$@"; do
	case $variant in
	valgrind)
		out=$(CK_FORK=no valgrind -q --error-exitcode=99 --leak-check=no --child-silent-after-fork=yes \
			"$t" 2>&1) ;;
	*) out=$("$t" 2>&1) ;;
	esac
	if [ $? -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf 'FAILED: %s (%s)\n%s\n' "$t" "$variant" "$out"
	fi
done
echo "unit tests, $variant: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
