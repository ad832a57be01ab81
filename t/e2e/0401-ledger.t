# SPDX-License-Identifier: ISC
# The ledger over a long run with kill -9 at random instants: it adds up to the message. As many as the sink has
# under different names were accepted and delivered, no more and no less, and all that were acknowledged are among them.
#
# MESSAGES, KILLS (at least), RATE (a second; 0: as fast as it goes), SEED in the environment: 1000000, 100, 0 in
# make check-long.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced ledger rows);
use House qw(wait_for slurp need_root);
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(time sleep);

need_root();
my ($messages, $kills, $rate) = ($ENV{MESSAGES} // 5000, $ENV{KILLS} // 8, $ENV{RATE} // 1500);
my $seed = int($ENV{SEED} // time ^ $$);
srand $seed;
diag "SEED=$seed";
my $jobs_max = 200;
my $house = House->new(config => { sessions_per_client => 1000, retry_first => '1s', retry_max => '2s', jobs_max => $jobs_max })->start;
my ($state, $bin) = @$house{qw(state bin)};
$house->sink(args => [ '-r', 'rcpt,p=0.02=450 4.2.0 later', '-r', 'dot,p=0.005=451 4.3.0 later' ]);

my $begun = time;
my $source = $house->tool('source', [ "$bin/smtpsource", '-k', '-q', '-h', '127.0.0.1:' . $house->port('mx'), '-s', 50, '-n', 20, '-l', 1024,
	'-m', $messages, '-w', 60 + $messages / 100, '-a', "$state/acks", $rate ? ('-R', $rate) : () ]);
my (%killed, %service);
my $status;
while (!defined $status || $kills > 0) {
	sleep rand($messages > 100_000 ? 2 : 0.5);
	$status = $? if !defined $status && waitpid($source, WNOHANG) == $source;
	my @all = $house->processes;
	my $victim = $all[ rand @all ] or next;
	my ($name) = $victim->[0] =~ m{^([^/]+)};
	kill 'KILL', $victim->[1] or next;
	$kills--;
	$killed{ $victim->[0] }++;
	$service{$name}++;
	wait_for(sub { my $pid = $house->pid($name); $pid && $pid != $victim->[1] && $house->answers($name) }, "$name to be back", 30);
}
delete $house->{tools}{source};
is($status, 0, "$messages messages were acknowledged") or diag slurp("$state/source.err");
diag sprintf('%.0f s; killed: ', time - $begun), join ' ', map { "$_=$killed{$_}" } sort keys %killed;

my $l;
wait_for(sub {
	sleep 0.2;
	$house->angctl('queue', 'release', $_->{id}) for rows($house, 'queue', 'list', 'state=hold'); # hit by many kills
	$l = ledger($house);
	return $l->{queued} == 0 && $l->{unfiled} == 0;
}, 'the queue to drain', 120 + $messages / 1000);
diag join ' ', map { "$_=$l->{$_}" } sort keys %$l;

my (%acked, %came);
for ([ "$state/acks", \%acked ], [ "$state/sink.log", \%came ]) {
	open my $fh, '<', $_->[0] or die "$_->[0]: $!\n";
	while (my $line = <$fh>) { $_->[1]{ (split /[\t\n]/, $line)[0] }++ }
}
my $copies = 0;
$copies += $_ for values %came;
cmp_ok(scalar keys %acked, '>=', $messages, 'names that were acknowledged');
is(scalar(grep { !$came{$_} } keys %acked), 0, 'none of them is lost');
balanced($house, 'at the end');
is($l->{accepted}, scalar keys %came, 'accepted: as many as have come');
is($l->{delivered}, scalar keys %came, 'delivered: likewise');
is($l->{bounced} + $l->{expired} + $l->{dropped} + $l->{damaged} + $l->{notices}, 0, 'nothing ended otherwise');
my $losing = ($service{qmgr} // 0) + ($service{deliver} // 0);
diag 'duplicates ', $copies - keys %came, " at $losing kills of qmgr and deliver";
cmp_ok($copies - keys %came, '<=', $jobs_max * $losing, 'what came twice was in flight at a kill');
$house->end;
done_testing;
