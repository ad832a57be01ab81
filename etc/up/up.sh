#!/bin/sh
# SPDX-License-Identifier: ISC
# up.sh BIN STATE: starts the house below STATE under s6, on loopback ports, each service with a
# numeric user of its own, and shows mail delivered: to two users with homes below STATE, and to a sink.
# down.sh STATE ends it.
set -eu

bin=$(cd "$1" && pwd)
mkdir -p "$2"
state=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
smtp=2525 submission=2587 sink=2526
services='logd dnscache router qmgr smtpd deliver local bounced'
log=$state/log/angarium.log
# Users without accounts: numbers, homes below the state folder. alice has a Maildir, bob an mbox.
alice=61880 bob=61881

say() { printf '%s\n' "$*"; }
fail() { say "make up: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail 'needs root: services start as root and drop to their users'
if [ -e "$state/svscan.pid" ] && kill -0 "$(cat "$state/svscan.pid")" 2>/dev/null; then
	fail "is up already; make down ends it"
fi
case $state in *:*) fail "the table of users cannot have a ':' in a path, and $state has one" ;; esac
rm -f "$state/svscan.pid" "$state/sink.pid"
# Users without accounts must reach the folders below, and only those.
chmod 0755 "$state"
mkdir -p "$state/etc" "$state/service"

sed -e "s|@STATE@|$state|g" -e "s|@SMTP@|$smtp|g" -e "s|@SUBMISSION@|$submission|g" -e "s|@SINK@|$sink|g" -e "s|@RULES@|$here/../bounce.rules|g" \
	"$here/angarium.conf.in" >"$state/etc/angarium.conf"
mkdir -p "$state/home"
chmod 0755 "$state/home"
: >"$state/users"
for user in "alice:$alice:Maildir/" "bob:$bob:mbox"; do
	name=${user%%:*} box=${user##*:}
	id=${user#*:}
	id=${id%:*}
	echo "$name:$id:$id:$state/home/$name:$box" >>"$state/users"
	mkdir -p "$state/home/$name"
	chown -h "$id:$id" "$state/home/$name"
	chmod 0700 "$state/home/$name"
done
# Root has no mailbox: its mail goes where the aliases say.
printf '%s\n' 'postmaster: root' 'root: alice' 'staff: alice, bob' >"$state/aliases"
chmod 0644 "$state/users" "$state/aliases"
"$bin/newaliases" -c "$state/etc/angarium.conf" || fail 'newaliases failed'

for service in $services; do
	dir=$state/service/$service
	mkdir -p "$dir"
	echo 3 >"$dir/notification-fd"
	cat >"$dir/run.new" <<EOF
#!/bin/sh
exec "$bin/$service" -c "$state/etc/angarium.conf" -r 3
EOF
	chmod 0755 "$dir/run.new"
	mv "$dir/run.new" "$dir/run"
	rm -f "$dir/down"
done

# Whatever goes wrong from here on, nothing is left running.
trap 'sh "$here/down.sh" "$state"' EXIT

# A supervisor of its own session, so that it outlives this terminal.
setsid s6-svscan "$state/service" </dev/null >"$state/svscan.log" 2>&1 &
echo $! >"$state/svscan.pid"

# until_true WHAT COMMAND...: looks every 50 ms, for 20 s at most.
until_true() {
	what=$1 tries=0
	shift
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 400 ] || { tail -n 20 "$state/svscan.log" >&2; fail "waited in vain for $what"; }
		sleep 0.05
	done
}

# Its supervisor listens first, and has a state to be asked for a moment later.
supervised() { s6-svok "$state/service/$1" 2>/dev/null && s6-svstat "$state/service/$1" >/dev/null 2>&1; }

# Ready means that each service said so, not that it was started.
for service in $services; do
	until_true "the supervisor of $service" supervised "$service"
	s6-svwait -U -t 20000 "$state/service/$service" 2>>"$state/svscan.log" || {
		tail -n 20 "$state/svscan.log" >&2
		fail "$service does not come up; see $state/svscan.log"
	}
done

setsid "$bin/smtpsink" -o "$state/sink.log" "127.0.0.1:$sink" </dev/null >>"$state/svscan.log" 2>&1 &
echo $! >"$state/sink.pid"
# A first attempt that came too early would be put off for long.
listens() { grep -q " 0100007F:$(printf %04X "$1") 00000000:0000 0A " /proc/net/tcp; }
until_true 'the sink to listen' listens "$sink"

angctl() { "$bin/angctl" -c "$state/etc/angarium.conf" "$@"; }

# send SUBJECT RECIPIENT: by the sendmail command.
send() {
	printf 'To: %s\nSubject: %s\n\nHello.\n' "$2" "$1" |
		ANGARIUM_ROOT=$state "$bin/sendmail" -t -i -f demo@example.com || fail 'sendmail failed'
}

# The log knows a message by its recipient; what was there before title() does not count.
title() {
	say
	say "$1"
	begun=$(wc -l <"$log")
}
id_of() {
	id=$(tail -n "+$((begun + 1))" "$log" | sed -n "s/.*\"event\":\"attempt\".*\"id\":\"\([^\"]*\)\".*\"to\":\"$1\".*/\1/p" | tail -n 1)
	[ -n "$id" ]
}
ended() { angctl --json trace "$1" 2>/dev/null | grep -q '"event":"done"'; }
story() {
	until_true "an attempt for $1" id_of "$1"
	until_true "the end of $id" ended "$id"
	angctl trace "$id"
}
# The one whose story was told: its Received field has the id.
mailbox() {
	find "$state/home/alice/Maildir/new" -type f -exec grep -q "^	id $id\$" {} \; -print 2>/dev/null | grep .
}
show_mailbox() {
	until_true "$id in the Maildir of alice" mailbox >"$state/found"
	say "$(cat "$state/found"):"
	sed -e 's/^/    /' "$(cat "$state/found")"
	rm -f "$state/found"
}

title 'One message by the sendmail command:'
send 'by sendmail' first@example.org
story first@example.org

title "One message by SMTP to 127.0.0.1:$smtp:"
"$bin/smtpsource" -h "127.0.0.1:$smtp" -s 1 -m 1 -l 1024 -f demo@example.com -t second@example.org ||
	fail 'SMTP failed'
story second@example.org

title 'One message to the local user alice, by the sendmail command:'
send 'for alice' alice
story alice@example.net
show_mailbox

title 'One message to root, whose mail goes where the aliases say:'
send 'for root' root
story alice@example.net
show_mailbox

say
say 'What the sink got:'
cat "$state/sink.log"
cat <<EOF

Up. SMTP on 127.0.0.1:$smtp and [::1]:$smtp, submission on port $submission, the sink on 127.0.0.1:$sink.
  $bin/angctl -c $state/etc/angarium.conf status
  $bin/angctl -c $state/etc/angarium.conf log follow
  ANGARIUM_ROOT=$state $bin/sendmail -i you@example.org
  ANGARIUM_ROOT=$state $bin/sendmail -i staff		that is alice and bob: homes below $state/home
  ANGARIUM_ROOT=$state $bin/sendmail -bp
  log: $log   configuration: $state/etc/angarium.conf
make down ends it.
EOF
trap - EXIT
