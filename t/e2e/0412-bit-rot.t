# SPDX-License-Identifier: ISC
# Bits flip on the disk: one in each of 1 % of the records. All services stay up, each damaged record is told
# once, listed as damaged in the ledger and kept in damaged/, every other is delivered. Three times: in filed
# records while nobody runs; in filed records while all run; in records that wait to be filed.
#
# MESSAGES (500 each time), SEED in the environment ask for more or for the same again.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced ledger events sunk);
use House qw(wait_for slurp run need_root);
use Test::More;

need_root();
my $messages = $ENV{MESSAGES} // 500;
my $seed = int($ENV{SEED} // time ^ $$);
srand $seed;
diag "SEED=$seed";

my $house = House->new(config => { mx_workers => 2, retry_first => '1h', retry_max => '1h' })->start;
my $queue = "$house->{state}/spool/queue";
my ($round, %hit, %sent) = (0);

# Nobody listens there yet, or no longer: what comes in stays.
sub send_all
{
	my $run = sprintf 'rot%d', ++$round;
	my ($status, $out) = run({ seconds => 300 }, "$house->{bin}/smtpsource", '-i', $run, '-h', '127.0.0.1:' . $house->port('mx'),
		'-f', 's@test.example', '-t', 'r@relay.test', '-s', 10, '-n', 10, '-m', $messages, '-l', 2000);
	is($status, 0, "round $round: all are accepted") or diag $out;
	$sent{"$run-$_"} = 1 for 0 .. $messages - 1;
}

# Every record of this round: [file, offset, bytes that count, id of the test].
sub records
{
	my ($run) = @_;
	my @found;

	for my $file (glob "$queue/data/*.seg") {
		my $bytes = slurp($file);
		pos($bytes) = 256;
		while ($bytes =~ /\G(?:.{64})*?(?=\x89ANGREC\n)/gs) {
			my $at = pos $bytes;
			my ($env, $head, $body, $total) = unpack 'x16 L< L< Q< Q<', substr $bytes, $at, 40;
			my ($id) = substr($bytes, $at, $total) =~ /^X-Test-Id: (\S+)/m;
			push @found, [ $file, $at, 128 + $env + $head + $body + 8, $id ] if defined $id && $id =~ /^\Q$run\E-/;
			pos($bytes) = $at + 64; # not by its size: a bit of that may have been turned before
		}
	}
	return @found;
}

sub rot
{
	my @all = records("rot$round");

	is(scalar @all, $messages, "round $round: so many records are on the disk");
	# No two neighbours: they would be one stretch of damage.
	for my $n (0 .. $messages / 100 - 1) {
		my ($file, $at, $size, $id) = @{ $all[ $n * 100 + int rand 98 ] };
		my $byte = int rand $size;
		open my $fh, '+<:raw', $file or die "$file: $!";
		sysseek $fh, $at + $byte, 0;
		sysread $fh, my $old, 1;
		sysseek $fh, $at + $byte, 0;
		syswrite $fh, chr(ord($old) ^ 1 << rand 8);
		close $fh;
		my ($number) = $file =~ /(\d+)\.seg$/;
		$hit{$id} = sprintf '%010u-%010x', $number, $at;
	}
}

sub judge
{
	my ($how) = @_;

	$house->sink;
	# What a dead writer wrote last is filed a second later, and is not yet in any count.
	my $good = eval {
		wait_for(sub {
			my $l = ledger($house);
			$house->angctl('queue', 'flush') if $l->{queued};
			return $l->{queued} + $l->{unfiled} == 0 && sunk($house) >= keys(%sent) - keys %hit;
		}, 'the queue to drain', 30);
	};
	ok($good, "$how: every recipient comes to an end") or diag $@, ($house->angctl('queue', 'list'))[1], ($house->angctl('ledger'))[1];
	my @told;
	my $told = sub { @told = sort map { sprintf '%010u-%010x', $_->{segment}, $_->{offset} } events($house, event => 'damaged') };
	eval { wait_for(sub { $told->() >= keys %hit }, 'the damage to be told', 10) };
	$house->end_tool('sink');
	my %came;
	$came{ $_->[0] }++ for sunk($house);
	is(join(' ', grep { !$came{$_} && !$hit{$_} } sort keys %sent), '', "$how: every other is delivered");
	is(join(' ', grep { $came{$_} && $hit{$_} } sort keys %hit), '', "$how: none of the damaged ones is");
	is(join(' ', grep { $came{$_} > 1 } sort keys %came), '', "$how: and none twice");
	$told->();
	is("@told", join(' ', sort values %hit), "$how: each damaged record is told once");
	my @kept = sort map { m{([^/]+)\.bin$} } glob "$queue/damaged/*.bin";
	is("@kept", join(' ', sort values %hit), "$how: and kept in damaged/");
	is(scalar(grep { (slurp("$queue/damaged/$_.txt") // '') =~ /^reason: \S/m } @kept), scalar @kept, "$how: with a note why");
	balanced($house, $how);
}

sub stayed_up
{
	my ($how, $starts) = @_;

	is(join(' ', grep { $house->{super}->starts($_) != $starts->{$_} } @{ $house->{services} }), '', "$how: no service has ended");
}
# And durably so: what an operator does is answered when it is, and with it what stands before it.
sub all_filed
{
	my ($verb) = @_;

	wait_for(sub { my $l = ledger($house); $l->{unfiled} == 0 && $l->{accepted} == keys %sent }, 'all to be filed');
	is(($house->angctl('queue', $verb, 'nobody.test'))[0], 0, 'all are filed');
}
sub starts { return { map { $_ => $house->{super}->starts($_) } @{ $house->{services} } } }

send_all();
all_filed('suspend');
$house->stop;
rot();
$house->start_one($_) for @{ $house->{services} };
my $starts = starts();
judge('filed, at rest');
stayed_up('filed, at rest', $starts);
ok(wait_for(sub { ledger($house)->{damaged} == keys %hit }, 'the ledger'), 'the ledger has them');

send_all();
all_filed('resume');
$starts = starts();
rot();
judge('filed, in use');
stayed_up('filed, in use', $starts);
ok(wait_for(sub { ledger($house)->{damaged} == keys %hit }, 'the ledger'), 'the ledger has them, too');

$house->stop('qmgr');
send_all();
rot();
$house->start_one('qmgr');
$starts = starts();
judge('not filed');
stayed_up('not filed', $starts);
$house->end;
done_testing;
