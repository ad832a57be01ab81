#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# The load of the power-cut test: a house whose spool and Maildirs lie on the recorded disk takes mail of all
# kinds while its next hops defer a good part of it, and loses services on the way.
#
#	house-load.pl STATE MESSAGES [PRELOAD]
#
# PRELOAD: a library for the services (nosync.so). Needs CRASH_SPOOL and CRASH_MARKS.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../e2e/lib";
use House qw(wait_for slurp);
use Mix;
use POSIX qw(WNOHANG);
use Test::More ();

my ($state, $messages, $preload) = @ARGV;
my ($spool, $marks) = @ENV{qw(CRASH_SPOOL CRASH_MARKS)};

sub mark
{
	open my $fh, '>>', $marks or die "$marks: $!\n";
	syswrite $fh, "$_[0]\n";
}

chmod 0755, $spool;
my $mix = Mix->new("$spool/mail");
my $house = House->new($mix->setup({ spool_dir => "$spool/queue", disk_floor => 0, retry_first => '1s', retry_max => '4s',
	mx_workers => 2 }), state => $state, env => { defined $preload ? (LD_PRELOAD => $preload) : () });
$mix->begin($house, '-M', $marks, '-r', 'rcpt,p=0.5=450 4.2.0 later');
$house->start;
system 'sync'; # the users' homes are older than the power cut
mark('begin');
my %share = (relay => 0.3, mxa => 0.12, mxb => 0.1, box => 0.16, team => 0.1, fail => 0.1, half => 0.09, bulky => 0.03);
my %source = map {
	$_ => $mix->source($house, $_, messages => int($messages * $share{$_}), sessions => $_ eq 'relay' ? 4 : 2, seconds => 90,
		args => [ '-M', $marks ])
} sort keys %share;
sub running { my @left = grep { waitpid($source{$_}, WNOHANG) == 0 } keys %source; return scalar @left }
sub taken { my @at = split /\n/, slurp("$state/sink.log") // ''; return scalar @at }

# Recovery happens under the load as well, so power goes in the midst of it, too.
for my $name (qw(qmgr smtpd local deliver bounced)) {
	my $before = taken();
	wait_for(sub { !running() || taken() > $before + $messages / 25 }, 'some mail to pass', 30);
	$house->kill($name);
}
wait_for(sub { !running() }, 'the load to end', 90);
# A slow machine may have spent the load while services were away: some of it comes to its end yet.
wait_for(sub { taken() > $messages / 4 && keys %{ $mix->mailbox('notes') } > $messages / 40 }, 'mail at the next hop, and notices', 60);
mark('end');
for my $kind (sort keys %source) {
	delete $house->{tools}{"source.$kind"};
	print slurp("$state/source.$kind.err");
}
$house->end;
