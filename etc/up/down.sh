#!/bin/sh
# SPDX-License-Identifier: ISC
# down.sh STATE: ends what up.sh started. Queue and log stay below STATE.
set -eu

state=$1
[ -d "$state" ] || exit 0
# gone PID NAME: waits until it is.
gone() {
	tries=0
	while kill -0 "$1" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 1200 ] || { echo "make down: $2 $1 does not end" >&2; exit 1; }
		sleep 0.05
	done
}

if [ -e "$state/sink.pid" ]; then
	pid=$(cat "$state/sink.pid")
	# The next sink takes the same port.
	kill "$pid" 2>/dev/null && gone "$pid" smtpsink
	rm -f "$state/sink.pid"
fi
[ -e "$state/svscan.pid" ] || exit 0
pid=$(cat "$state/svscan.pid")
if kill -0 "$pid" 2>/dev/null; then
	# Terminates the services with SIGTERM and waits for each.
	s6-svscanctl -t "$state/service"
	gone "$pid" s6-svscan
fi
rm -f "$state/svscan.pid"
