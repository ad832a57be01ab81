#!/bin/sh
# SPDX-License-Identifier: ISC
# down.sh STATE: ends what up.sh started. Queue and log stay below STATE.
set -eu

state=$1
[ -d "$state" ] || exit 0
# gone PID NAME: waits until it is, or until nobody but its parent's wait is missing.
gone() {
	tries=0
	while readlink "/proc/$1/exe" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 1200 ] || { echo "make down: $2 $1 does not end" >&2; exit 1; }
		sleep 0.05
	done
}

if [ -e "$state/svscan.pid" ]; then
	pid=$(cat "$state/svscan.pid")
	# Terminates the services with SIGTERM and waits for each.
	if kill -0 "$pid" 2>/dev/null && s6-svscanctl -t "$state/service"; then
		gone "$pid" s6-svscan
	fi
	rm -f "$state/svscan.pid"
fi
# Then it has no connections left. The next sink takes the same port.
if [ -e "$state/sink.pid" ]; then
	pid=$(cat "$state/sink.pid")
	if kill "$pid" 2>/dev/null; then
		gone "$pid" smtpsink
	fi
	rm -f "$state/sink.pid"
fi
