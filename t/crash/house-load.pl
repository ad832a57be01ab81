#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# The load of the power-cut test: a house whose spool lies on the recorded disk takes mail while
# its next hop defers a good part of it, and loses services on the way.
#
#	house-load.pl STATE MESSAGES SESSIONS [PRELOAD]
#
# PRELOAD: a library for the services (nosync.so). Needs CRASH_SPOOL and CRASH_MARKS.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../e2e/lib";
use House qw(wait_for slurp);
use Test::More ();

my ($state, $messages, $sessions, $preload) = @ARGV;
my ($spool, $marks) = @ENV{qw(CRASH_SPOOL CRASH_MARKS)};

sub mark
{
	open my $fh, '>>', $marks or die "$marks: $!\n";
	syswrite $fh, "$_[0]\n";
}

chmod 0755, $spool;
my $house = House->new(
	state => $state,
	env => { defined $preload ? (LD_PRELOAD => $preload) : () },
	config => { spool_dir => "$spool/queue", disk_floor => 0, retry_first => '1s',
		retry_max => '4s', mx_workers => 2 },
);
$house->sink(args => [ '-M', $marks, '-r', 'rcpt,p=0.6=450 4.2.0 later' ]);
$house->start;
mark('begin');
my $source = $house->tool('source', [ "$house->{bin}/smtpsource", '-k', '-M', $marks, '-s', $sessions,
	'-m', $messages, '-n', 7, '-l', 3000, '-w', 60, '-h', '127.0.0.1:' . $house->port('mx') ]);
# A few whose bodies stand in large/, beside the rest and through all that happens to it.
my $bulky = $house->tool('bulky', [ "$house->{bin}/smtpsource", '-k', '-M', $marks, '-s', 2,
	'-m', 12, '-n', 3, '-l', 400_000, '-R', 4, '-i', 'bulky', '-w', 60, '-h', '127.0.0.1:' . $house->port('mx') ]);

# Recovery happens under the load as well, so power goes in the midst of it, too.
for my $name (qw(qmgr smtpd deliver)) {
	my $before = () = slurp("$state/sink.log") =~ /\n/g;
	wait_for(sub { waitpid($source, 1) != 0
		|| (() = slurp("$state/sink.log") =~ /\n/g) > $before + $messages / 20 }, 'some mail to pass', 30);
	$house->kill($name);
}
wait_for(sub { waitpid($source, 1) != 0 }, 'the load to end', 60);
wait_for(sub { waitpid($bulky, 1) != 0 }, 'the large ones to be taken', 60);
# A slow machine may have spent the load while deliver was away: the next hop takes some mail yet.
wait_for(sub { (() = slurp("$state/sink.log") =~ /\n/g) > $messages / 4 }, 'mail at the next hop', 60);
mark('end');
delete $house->{tools}{$_} for qw(source bulky);
print slurp("$state/source.err");
$house->end;
