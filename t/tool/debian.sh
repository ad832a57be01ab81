#!/bin/sh
# SPDX-License-Identifier: ISC
#
# A Debian of its own for tests, by debootstrap, and machines made of it.
#
#	debian.sh make FOLDER PACKAGE...
#	debian.sh layer FOLDER LAYER PACKAGE...
#	debian.sh machine FOLDER [-l LOWER]... [-b SOURCE:PLACE]... [-n] INIT...
#
# `make` fills FOLDER/root with the smallest Debian of this system's release and the packages, by the mirror
# and the settings of this system's apt; once done it asks the network no more. `layer` fills LAYER/upper, a folder
# for -l, with what further packages add to FOLDER/root, where a mailer seems to be a package. `machine` runs INIT as
# process 1 of name spaces of its own (mounts, processes, network with only lo, IPC, host name, control
# groups), on that root; what it writes is gone with it. -l: a folder to lie over the root; -b: SOURCE appears
# at PLACE; -n: with the network, the devices and the apt of this system. It ends with the process that runs this.
# Needs root.
#
# Exit 75 with a reason where the system cannot: no root, no debootstrap, no network.
set -eu

cannot()
{
	echo "debian: $*" >&2
	exit 75
}

# This system's first source of packages: address and release.
mirror()
{
	# shellcheck disable=SC2016
	apt-get indextargets 'Created-By: Packages' --format '$(SITE) $(CODENAME)' 2>/dev/null |
	    grep -v -e -security -e -updates -e -backports | head -n 1
}

apt_of_this_system()
{
	rm -f "$1/etc/apt/sources.list"
	cp -a /etc/apt/. "$1/etc/apt/"
	# Keys that the sources name.
	mkdir -p "$1/usr/share/keyrings"
	cp -n /usr/share/keyrings/*.gpg "$1/usr/share/keyrings/" 2>/dev/null || :
	cp /etc/resolv.conf "$1/etc/resolv.conf"
}

make_root()
{
	[ "$(id -u)" = 0 ] || cannot "needs root"
	command -v debootstrap >/dev/null || cannot "debootstrap is not here"
	mkdir -p "$1"
	cd "$1"
	shift
	exec 9>lock
	flock 9
	[ "$(cat ./done 2>/dev/null)" = "$*" ] && return
	if [ ! -e bare ]; then
		set -- "$(mirror)" "$@"
		[ -n "$1" ] || cannot "apt names no mirror"
		rm -rf root
		debootstrap --variant=minbase "${1##* }" root "${1%% *}" >make.log 2>&1 ||
		    cannot "debootstrap: $(tail -n 1 make.log)"
		shift
		: >bare
	fi
	rm -f ./done
	add_packages root "$@"
	echo "$*" >./done
}

# The packages, in the system below $1.
add_packages()
{
	r=$1
	shift
	apt_of_this_system "$r"
	# shellcheck disable=SC2016
	DEBIAN_FRONTEND=noninteractive chroot "$r" sh -c 'apt-get -q update &&
		apt-get -q -y --no-install-recommends install "$@" && apt-get clean' sh "$@" >>make.log 2>&1 ||
	    cannot "apt: $(tail -n 1 make.log)"
	rm -f "$r/etc/resolv.conf"
}

# Those who send mail want a package that takes it: one by name only.
name_of_mailer()
{
	mkdir -p "$1/tmp/mailer/DEBIAN"
	cat >"$1/tmp/mailer/DEBIAN/control" <<-EOF
		Package: machine-mailer
		Version: 1
		Architecture: all
		Maintainer: machine <root@machine>
		Provides: mail-transport-agent
		Description: the name of a mailer
	EOF
	chroot "$1" sh -c 'dpkg-deb -b /tmp/mailer /tmp/mailer.deb && dpkg -i /tmp/mailer.deb' >>make.log 2>&1
	rm -r "$1/tmp/mailer" "$1/tmp/mailer.deb"
}

make_layer()
{
	[ -e "$1/done" ] || cannot "$1: not made"
	base=$(cd "$1" && pwd)
	mkdir -p "$2"
	cd "$2"
	shift 2
	exec 9>lock
	flock 9
	[ -n "$(find ./done -newer "$base/done" 2>/dev/null)" ] && [ "$(cat ./done)" = "$*" ] && return
	rm -rf ./done upper work
	mkdir -p upper work root
	: >make.log
	mount -t overlay overlay -o "lowerdir=$base/root,upperdir=upper,workdir=work" root || cannot "no overlayfs"
	name_of_mailer root
	add_packages root "$@"
	umount root
	echo "$*" >./done
}

# In name spaces of its own, so that nothing stays mounted.
layer()
{
	[ "$(id -u)" = 0 ] || cannot "needs root"
	exec unshare --mount --pid --fork --kill-child -- sh "$0" make-layer "$@"
}

groups()
{
	awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts
}

# Where a machine that is gone left its groups, they go; those in use refuse.
sweep()
{
	find "$1" -mindepth 1 -depth -type d -path "*/angarium-test-*" -exec rmdir {} + 2>/dev/null || :
}

own_net()
{
	while getopts l:b:n opt; do
		[ "$opt" != n ] || return 0
	done
	echo --net
}

machine()
{
	[ "$(id -u)" = 0 ] || cannot "needs root"
	[ -e "$1/done" ] || [ -e "$1/bare" ] || cannot "$1: not made"
	top=$(groups)
	if [ -n "$top" ]; then
		sweep "$top"
		{ mkdir "$top/angarium-test-$$" && echo $$ >"$top/angarium-test-$$/cgroup.procs"; } ||
		    cannot "no control groups of one's own"
	fi
	net=$(shift; own_net "$@")
	# shellcheck disable=SC2086
	exec unshare --mount --pid --ipc --uts --cgroup $net --fork --kill-child -- sh "$0" inside "$@"
}

devices()
{
	mount -t tmpfs -o mode=755 tmpfs "$1"
	for d in null zero full random urandom tty fuse; do
		[ -e "/dev/$d" ] || continue
		: >"$1/$d"
		mount --bind "/dev/$d" "$1/$d"
	done
	mkdir "$1/pts" "$1/shm"
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/pts"
	mount -t tmpfs tmpfs "$1/shm"
	ln -s pts/ptmx "$1/ptmx"
	ln -s /proc/self/fd "$1/fd"
	ln -s /proc/self/fd/0 "$1/stdin"
	ln -s /proc/self/fd/1 "$1/stdout"
	ln -s /proc/self/fd/2 "$1/stderr"
}

inside()
{
	base=$1 lower="$1/root" places='' net=own
	shift
	while getopts l:b:n opt; do
		case $opt in
		l) lower="$OPTARG:$lower" ;;
		b) places="$places $OPTARG" ;;
		n) net=shared ;;
		*) exit 64 ;;
		esac
	done
	shift $((OPTIND - 1))
	mount --make-rprivate /
	# The machine's own layer.
	at=$base/machine
	mkdir -p "$at"
	mount -t tmpfs -o size=90% tmpfs "$at"
	mkdir "$at/upper" "$at/work" "$at/root"
	mount -t overlay overlay -o "lowerdir=$lower,upperdir=$at/upper,workdir=$at/work" "$at/root"
	r=$at/root
	mount -t proc proc "$r/proc"
	# What it sets there would hold for the whole system.
	mount --bind "$r/proc/sys" "$r/proc/sys"
	mount -o remount,bind,ro "$r/proc/sys"
	mount -t sysfs -o ro sysfs "$r/sys" 2>/dev/null || mount --rbind /sys "$r/sys"
	mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup" 2>/dev/null || :
	mount -t tmpfs -o mode=755 tmpfs "$r/run"
	mount -t tmpfs tmpfs "$r/tmp"
	if [ "$net" = own ]; then devices "$r/dev"; else mount --rbind /dev "$r/dev"; fi
	for p in $places; do
		mkdir -p "$r${p##*:}"
		mount --bind "${p%%:*}" "$r${p##*:}"
	done
	if [ "$net" = own ]; then
		# lo up: SIOCSIFFLAGS
		perl -MSocket -e 'socket(S, AF_INET, SOCK_DGRAM, 0) && ioctl(S, 0x8914, my $up = pack "a16 s x22", "lo", 0x41) or die "lo: $!"'
	else
		apt_of_this_system "$r"
	fi
	echo machine >"$r/etc/hostname"
	printf '127.0.0.1\tlocalhost\n127.0.1.1\tmachine\n::1\tlocalhost\n' >"$r/etc/hosts"
	hostname machine
	cd "$r"
	mkdir -p .old
	pivot_root . .old
	umount -l /.old
	exec env -i container=other TERM=dumb LANG=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

verb=${1:-}
[ $# -gt 0 ] && shift
case $verb in
make) make_root "$@" ;;
layer) layer "$@" ;;
make-layer) make_layer "$@" ;;
machine) machine "$@" ;;
inside) inside "$@" ;;
*)
	echo "usage: debian.sh make folder package... | layer folder layer package... | machine folder [-l lower] [-b from:to] [-n] init..." >&2
	exit 64
	;;
esac
