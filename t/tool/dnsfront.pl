#!/usr/bin/env perl
# SPDX-License-Identifier: ISC
#
# dnsfront.pl ADDRESS:PORT ANGCTL...: a name server over UDP whose answers are those of
# `ANGCTL... --json dns lookup NAME TYPE`, so that tests of resolvers can be played against a service
# that listens on no port. Each question is a process of its own.
use strict;
use warnings;
use IO::Socket::IP;
use JSON::PP;
use Socket qw(inet_pton AF_INET AF_INET6 SOCK_DGRAM);

my %CODE = (A => 1, CNAME => 5, PTR => 12, MX => 15, TXT => 16, AAAA => 28);
my %TYPE = reverse %CODE;
my %RCODE = (ok => 0, nodata => 0, nxdomain => 3, temp => 2);
my ($at, @angctl) = @ARGV;

$SIG{CHLD} = 'IGNORE';
my $udp = IO::Socket::IP->new(LocalAddr => $at, Type => SOCK_DGRAM, ReuseAddr => 1) or die "dnsfront: $at: $@\n";

sub wire { return join('', map { pack 'C/a', $_ } grep { length } split /\./, $_[0]) . "\0" }

sub rdata
{
	my ($type, $text) = @_;

	return inet_pton(AF_INET, $text) if $type eq 'A';
	return inet_pton(AF_INET6, $text) if $type eq 'AAAA';
	return pack('n', (split ' ', $text)[0]) . wire((split ' ', $text)[1]) if $type eq 'MX';
	return pack 'C/a', $text if $type eq 'TXT';
	return wire($text);
}

sub rr { my ($owner, $type, $ttl, $data) = @_; return wire($owner) . pack('nnNn/a', $CODE{$type}, 1, $ttl, $data) }

sub answer
{
	my ($query) = @_;
	my ($id, $flags, @labels) = unpack 'nn', $query;
	my $at = 12;

	while ((my $n = ord substr $query, $at, 1) != 0) {
		push @labels, substr $query, $at + 1, $n;
		$at += $n + 1;
	}
	my $name = join '.', @labels;
	my $type = $TYPE{ unpack 'n', substr $query, $at + 1, 2 };
	my $question = substr $query, 12, $at + 5 - 12;
	my (@rr, $rcode);

	if (!defined $type) {
		$rcode = 4;
	} else {
		open my $out, '-|', @angctl, '--json', 'dns', 'lookup', $name, $type or die "$angctl[0]: $!";
		my $r = eval { decode_json(join '', <$out>) } // { status => 'temp' };
		my $owner = length($r->{cname} // '') ? $r->{cname} : $name;

		$rcode = $RCODE{ $r->{status} };
		push @rr, rr($name, 'CNAME', $r->{ttl_s}, wire($owner)) if $owner ne $name;
		push @rr, map { rr($owner, $type, $r->{ttl_s}, rdata($type, $_)) } @{ $r->{records} // [] };
	}
	return pack('n6', $id, 0x8080 | ($flags & 0x100) | $rcode, 1, scalar @rr, 0, 0) . $question . join '', @rr;
}

while (1) {
	my $from = $udp->recv(my $query, 65535) // next;
	my $pid = fork // next;

	next if $pid;
	$SIG{CHLD} = 'DEFAULT';
	send $udp, answer($query), 0, $from;
	exit 0;
}
