#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Other people's programs, from Debian packages, without installing them.
#
#	peers.sh fetch
#	peers.sh enter [-e FOLDER] [-t FOLDER]... [-b SOURCE:PLACE]... COMMAND...
#
# `fetch` downloads the packages below, and what they need that this system lacks, and unpacks them
# below $PEERS (build/peers). Once done it asks the network no more. `enter` runs the command in a
# mount name space of its own, where they lie over /usr and /etc as if installed; nothing outside
# sees it. It is process 1 of a name space of its own as well, so nothing outlives it. -e: a folder to lie over /etc
# (first); -t: an empty tmpfs there; -b: SOURCE appears at PLACE. Needs root.
#
# Exit 75 with a reason where the system cannot: no root, no network, no overlayfs.
set -eu

PEERS=${PEERS:-${BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build}/peers}
PACKAGES="postfix pflogsumm fail2ban logrotate bsd-mailx swaks git-email libmailtools-perl unbound dnsmasq-base dovecot-lmtpd mutt procmail"
# Mail servers of Debian exclude each other: each of these is fetched by itself.
APART="exim4-daemon-light opensmtpd"

cannot()
{
	echo "peers: $*" >&2
	exit 75
}

get()
{
	apt-get -q -o Dir::Cache::archives="$PWD/debs" -o Debug::NoLocking=1 -o APT::Sandbox::User=root \
	    --download-only --no-install-recommends -y install "$@" >>download.log 2>&1
}

get_all()
{
	# apt resolves the closure against what is installed here, and downloads only.
	# shellcheck disable=SC2086 # a list
	get $PACKAGES || return 1
	for package in $APART; do
		get "$package" || return 1
	done
}

download()
{
	mkdir -p debs/partial
	rm -f download.log
	if ! get_all; then
		apt-get -q update >>download.log 2>&1 || cannot "no package lists: $(tail -1 download.log)"
		get_all || cannot "cannot download: $(tail -1 download.log)"
	fi
}

unpack()
{
	rm -rf root etc
	mkdir -p root etc
	# Postfix once more, last: the commands that all of them bring are its own.
	for deb in debs/*.deb debs/postfix_*.deb; do
		dpkg-deb -x "$deb" root
	done
	# The host's /bin, /lib, /sbin are links into /usr.
	for dir in bin lib sbin; do
		[ -d "root/$dir" ] || continue
		mkdir -p "root/usr/$dir"
		cp -a "root/$dir/." "root/usr/$dir/"
		rm -rf "root/$dir"
	done
	# What the packages' scripts would have done.
	ln -sf bsd-mailx root/usr/bin/mail
	ln -sf bsd-mailx root/usr/bin/mailx
	{
		grep -v '^\(postfix\|Debian-exim\|opensmtp[dq]\|dovecot\|dovenull\):' /etc/passwd
		id=61900
		for user in postfix Debian-exim opensmtpd opensmtpq dovecot dovenull; do
			echo "$user:x:$id:$id::/var/empty:/usr/sbin/nologin"
			id=$((id + 2))
		done
	} >etc/passwd
	{
		grep -v '^\(postfix\|postdrop\|Debian-exim\|opensmtp[dq]\|dovecot\|dovenull\):' /etc/group
		id=61900
		for group in postfix postdrop Debian-exim - opensmtpd - opensmtpq - dovecot - dovenull; do
			[ $group = - ] || echo "$group:x:$id:"
			id=$((id + 1))
		done
	} >etc/group
	mkdir -p etc/postfix
	cp root/usr/share/postfix/dynamicmaps.cf etc/postfix/
	: >etc/aliases
}

fetch()
{
	mkdir -p "$PEERS"
	cd "$PEERS"
	exec 9>lock
	flock 9
	[ "$(cat ./done 2>/dev/null)" = "$PACKAGES $APART" ] && return
	{ command -v apt-get && command -v dpkg-deb; } >/dev/null || cannot "not a Debian system"
	download
	unpack
	rm -f ./done # in a copy by links it is another's too
	echo "$PACKAGES $APART" >./done
}

# Places are made only on what is ours: never a folder on the real system.
under_tmpfs()
{
	for m in $mounts; do
		case $m in t*) case $1 in "${m#t}"/*) return 0 ;; esac ;; esac
	done
	return 1
}

# Inside the name spaces: what lies over what, then the command.
inside()
{
	etc="$PEERS/etc:$PEERS/root/etc:/etc"
	mounts=
	while getopts b:e:t: opt; do
		case $opt in
		e) etc="$OPTARG:$etc" ;;
		t | b) mounts="$mounts $opt$OPTARG" ;;
		*) exit 64 ;;
		esac
	done
	shift $((OPTIND - 1))
	mount --make-rprivate /
	mount -t overlay overlay -o "lowerdir=$PEERS/root/usr:/usr" /usr
	mount -t overlay overlay -o "lowerdir=$etc" /etc
	mount -t proc proc /proc
	for m in $mounts; do
		arg=${m#?}
		if [ "${m%"$arg"}" = t ]; then
			mkdir -p "$arg"
			mount -t tmpfs tmpfs "$arg"
			continue
		fi
		from=${arg%:*} to=${arg##*:}
		if [ ! -e "$to" ]; then
			under_tmpfs "$to" || cannot "-b: $to is not there, and below no -t"
			mkdir -p "$(dirname "$to")"
			if [ -d "$from" ]; then mkdir "$to"; else : >"$to"; fi
		fi
		mount --bind "$from" "$to"
	done
	# Not exec: a program that changes its user would lose the order to die with its parent,
	# which this shell, process 1, keeps; and with it go all others.
	"$@"
	exit $?
}

enter()
{
	[ "$(id -u)" = 0 ] || cannot "needs root for a mount name space"
	[ -e "$PEERS/done" ] || (fetch)
	exec unshare --mount --pid --fork --kill-child -- sh "$0" inside "$@"
}

verb=${1:-}
[ $# -gt 0 ] && shift
case $verb in
fetch) fetch ;;
enter) enter "$@" ;;
inside) inside "$@" ;;
*)
	echo "usage: peers.sh fetch | enter [-e folder] [-t folder] [-b from:to] command..." >&2
	exit 64
	;;
esac
