#!/bin/sh
# SPDX-License-Identifier: ISC
# down.sh STATE: ends what up.sh started. Queue and log stay below STATE.
set -eu

state=$1
[ -d "$state" ] || exit 0
if [ -e "$state/sink.pid" ]; then
	kill "$(cat "$state/sink.pid")" 2>/dev/null || :
	rm -f "$state/sink.pid"
fi
[ -e "$state/svscan.pid" ] || exit 0
pid=$(cat "$state/svscan.pid")
if kill -0 "$pid" 2>/dev/null; then
	# Terminates the services with SIGTERM and waits for each.
	s6-svscanctl -t "$state/service"
	tries=0
	while kill -0 "$pid" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 1200 ] || { echo "make down: s6-svscan $pid does not end" >&2; exit 1; }
		sleep 0.05
	done
fi
rm -f "$state/svscan.pid"
