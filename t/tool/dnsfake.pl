#!/usr/bin/env perl
# SPDX-License-Identifier: ISC
#
# dnsfake.pl [-o FILE] ADDRESS:PORT ZONEFILE: a name server for tests, over UDP and TCP, that answers
# as a recursive one does (RA set, chains of CNAME followed) and misbehaves where it is told to.
#
# The zone file, a line each; names are taken as they stand, with or without the final dot:
#
#	NAME [TTL] TYPE DATA	a record: A AAAA MX PTR TXT CNAME NS SOA; TTL 300 where none stands
#				a.example MX 10 mx.example     a.example 5 TXT "two " "strings"
#	zone NAME [MINIMUM]	what is not there below NAME is denied with a SOA of that MINIMUM (60).
#				Outside of all zones: NXDOMAIN without a SOA
#	!NAME [TYPE] ACTION...	instead of, or along with, the answer; "*.NAME": all below; "*": all
#
# Actions: servfail, refused, formerr, notimp, nxdomain, nodata, drop (say nothing), ad (set the AD
# bit), delay=MS, truncate (TC over UDP; whole over TCP), udponly (TCP is cut), other (answer another
# question), id (another id), cut=N (only the first N bytes), raw=HEX (these bytes behind the id),
# pad=N (N more TXT records), loop (the owner is a compression pointer to itself), counts (the
# header promises more), junk (random bytes). times=N: only the first N times, then as if not there.
#
# -o: a line for each question: UDP or TCP, name, type. SIGHUP reads the zone file again (READ).
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(inet_pton AF_INET AF_INET6 SOCK_DGRAM SOCK_STREAM);
use Time::HiRes qw(time);

my %CODE = (A => 1, NS => 2, CNAME => 5, SOA => 6, PTR => 12, MX => 15, TXT => 16, AAAA => 28, ANY => 255);
my %TYPE = reverse %CODE;
my %RCODE = (formerr => 1, servfail => 2, nxdomain => 3, notimp => 4, refused => 5);
my $log;
if (@ARGV && $ARGV[0] eq '-o') {
	shift;
	open $log, '>>', shift or die "dnsfake: $!\n";
	$log->autoflush(1);
}
my ($at, $file) = @ARGV;
die "usage: dnsfake.pl [-o file] address:port zonefile\n" unless defined $file && $at =~ /^(.+):(\d+)$/;
my ($host, $port) = ($1, $2);
my (%records, %zones, @rules, $again);

sub name_of { my $n = lc $_[0]; $n =~ s/\.$//; return $n }

sub wire { return join('', map { pack 'C/a', $_ } grep { length } split /\./, $_[0]) . "\0" }

sub rdata
{
	my ($type, $text) = @_;
	my @w = split ' ', $text;

	return inet_pton(AF_INET, $w[0]) // die "no IPv4 address: $text\n" if $type eq 'A';
	return inet_pton(AF_INET6, $w[0]) // die "no IPv6 address: $text\n" if $type eq 'AAAA';
	return pack('n', $w[0]) . wire(name_of($w[1])) if $type eq 'MX';
	return wire(name_of($w[0])) if $type =~ /^(?:NS|CNAME|PTR)$/;
	return wire(name_of($w[0])) . wire(name_of($w[1])) . pack('N5', @w[2 .. 6]) if $type eq 'SOA';
	my @strings = $text =~ /"((?:\\.|[^"\\])*)"|(\S+)/g;
	return join '', map { pack 'C/a', s/\\(.)/$1/gr } grep { defined } @strings;
}

sub load
{
	open my $fh, '<', $file or die "dnsfake: $file: $!\n";
	(%records, %zones, @rules) = ();
	while (<$fh>) {
		s/^\s+|\s+$//g;
		next if $_ eq '' || /^#/;
		if (/^zone\s+(\S+)(?:\s+(\d+))?$/) {
			$zones{ name_of($1) } = $2 // 60;
		} elsif (/^!(\S+)\s+(?:([A-Z]+)\s+)?(.+)$/) {
			my %r = (name => name_of($1), type => $2);
			for (split ' ', $3) {
				my ($k, $v) = /^(\w+)(?:=(.*))?$/ or die "dnsfake: $file:$.: $_?\n";
				$r{do}{$k} = $v // 1;
			}
			$r{times} = delete $r{do}{times};
			push @rules, \%r;
		} elsif (/^(\S+)\s+(?:(\d+)\s+)?([A-Z]+)\s+(.+)$/ && $CODE{$3}) {
			my ($name, $ttl, $type, $data) = ($1, $2, $3, $4);
			push @{ $records{ name_of($name) } }, { type => $type, ttl => $ttl // 300,
				data => rdata($type, $data), text => $data };
		} else {
			die "dnsfake: $file:$.: $_?\n";
		}
	}
}

# The first of the rules that holds for this question now.
sub rule
{
	my ($name, $type) = @_;

	for my $r (@rules) {
		my $is = $r->{name} eq '*' || $r->{name} eq $name
		    || ($r->{name} =~ /^\*(\..+)$/ && substr($name, -length $1) eq $1);
		next if !$is || (defined $r->{type} && $r->{type} ne $type);
		next if defined $r->{times} && $r->{times}-- <= 0;
		return $r->{do};
	}
	return {};
}

sub rr { my ($owner, $type, $ttl, $data) = @_; return $owner . pack('nnNn/a', $CODE{$type}, 1, $ttl, $data) }

sub exists_at { my ($name) = @_; return $records{$name} || grep { /\.\Q$name\E$/ } keys %records }

# (rcode, [answers], [authority])
sub look_up
{
	my ($name, $type) = @_;
	my @answer;

	for (1 .. 40) {
		my @here = @{ $records{$name} // [] };
		my @match = grep { $_->{type} eq $type || $type eq 'ANY' } @here;
		push @answer, map { rr(wire($name), $_->{type}, $_->{ttl}, $_->{data}) } @match;
		return (0, \@answer, []) if @match;
		my ($cname) = grep { $_->{type} eq 'CNAME' } @here or last;
		push @answer, rr(wire($name), 'CNAME', $cname->{ttl}, $cname->{data});
		$name = name_of($cname->{text});
	}
	my ($zone) = sort { length $b <=> length $a }
	    grep { $_ eq '' || $name eq $_ || $name =~ /\.\Q$_\E$/ } keys %zones;
	my @soa = defined $zone ? rr(wire($zone), 'SOA', $zones{$zone},
		wire("ns.$zone") . wire("root.$zone") . pack('N5', 1, 3600, 600, 86400, $zones{$zone})) : ();
	return (exists_at($name) ? 0 : 3, \@answer, \@soa);
}

# The bytes to send; undef: nothing.
sub answer
{
	my ($query, $udp) = @_;

	return (undef, 0) if length $query < 17;
	my ($id, $flags) = unpack 'nn', $query;
	my ($at, @labels) = (12);
	while ((my $n = ord substr $query, $at, 1) != 0) {
		return (undef, 0) if $n > 63 || $at + $n + 1 >= length $query;
		push @labels, substr $query, $at + 1, $n;
		$at += $n + 1;
	}
	return (undef, 0) if $at + 5 > length $query;
	my $name = lc join '.', @labels;
	my $type = $TYPE{ unpack 'n', substr $query, $at + 1, 2 } // 'ANY';
	my $question = substr $query, 12, $at + 5 - 12;
	print $log(($udp ? 'UDP' : 'TCP') . " $name $type\n") if $log;

	my $do = rule($name, $type);
	return (undef, 0) if $do->{drop} || ($do->{udponly} && !$udp);
	my ($rcode, $answers, $authority) = look_up($name, $type);
	($rcode, $answers, $authority) = ($RCODE{$_}, [], $_ eq 'nxdomain' ? $authority : [])
	    for grep { $do->{$_} } keys %RCODE;
	($rcode, $answers) = (0, []) if $do->{nodata};
	push @$answers, rr(wire($name), 'TXT', 300, pack 'C/a', 'x' x 200) for 1 .. $do->{pad} // 0;
	$question = wire('other.example') . substr $question, -4 if $do->{other};
	$id ^= 1 if $do->{id};
	my $cut = $udp && $do->{truncate};
	($answers, $authority) = ([], []) if $cut;
	my $head = 0x8080 | ($flags & 0x0100) | $rcode | ($do->{ad} ? 0x20 : 0) | ($cut ? 0x200 : 0);
	my $body = join '', @$answers, @$authority;
	substr($body, 0, length wire($name)) = pack 'n', 0xc000 | 12 + length $question if $do->{loop} && $body ne '';
	my $out = pack('n6', $id, $head, 1, @$answers + ($do->{counts} ? 40 : 0), scalar @$authority, 0) . $question . $body;
	$out = substr $out, 0, $do->{cut} if $do->{cut};
	$out = pack('n', $id) . pack('H*', $do->{raw}) if defined $do->{raw};
	$out = pack('n', $id) . join '', map { chr int rand 256 } 1 .. 60 if $do->{junk};
	return ($out, ($do->{delay} // 0) / 1000);
}

load();
$SIG{HUP} = sub { $again = 1 };
$SIG{PIPE} = 'IGNORE';
my $udp = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Type => SOCK_DGRAM, ReuseAddr => 1)
    or die "dnsfake: $at: $@\n";
my $tcp = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Type => SOCK_STREAM, Listen => 64, ReuseAddr => 1)
    or die "dnsfake: $at: $@\n";
my $reads = IO::Select->new($udp, $tcp);
my (%in, @late);

while (1) {
	my $next = @late ? $late[0][0] - time : undef;
	my @ready = $reads->can_read(defined $next && $next < 0 ? 0 : $next);

	if ($again) {
		$again = 0;
		load();
		print $log "READ\n" if $log;
	}
	for my $s (@ready) {
		if ($s == $tcp) {
			my $c = $tcp->accept or next;
			$reads->add($c);
			$in{$c} = '';
		} elsif ($s == $udp) {
			my $from = $udp->recv(my $query, 65535) // next;
			my ($out, $wait) = answer($query, 1);
			push @late, [ time + $wait, sub { send $udp, $out, 0, $from } ] if defined $out;
		} else {
			my $n = sysread $s, $in{$s}, 65535, length $in{$s};
			while ($n && length $in{$s} >= 2 && length $in{$s} >= 2 + unpack 'n', $in{$s}) {
				my $query = unpack 'n/a', $in{$s};
				substr($in{$s}, 0, 2 + length $query) = '';
				my ($out, $wait) = answer($query, 0);
				push @late, [ time + $wait, sub { syswrite $s, pack 'n/a', $out } ] if defined $out;
				$n = 0 if !defined $out;
			}
			next if $n;
			$reads->remove($s);
			delete $in{$s};
			close $s;
		}
	}
	@late = sort { $a->[0] <=> $b->[0] } @late;
	(shift @late)->[1]->() while @late && $late[0][0] <= time;
}
