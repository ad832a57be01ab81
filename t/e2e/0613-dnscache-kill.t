# SPDX-License-Identifier: ISC
# dnscache is killed again and again, with kill -9, while mail to many domains is looked up: that is
# doubt, so nothing is given up, all of it arrives, and nobody else falls. Then it hangs for a while.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp need_root);
use JSON::PP;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep);

need_root();
my ($kills, $messages) = ($ENV{KILLS} // 16, $ENV{MESSAGES} // 300);
my $house = House->new(services => [qw(logd dnscache router qmgr smtpd deliver local bounced)],
	config => { relay_host => undef, retry_first => '1s', retry_max => '2s', retry_jitter => 0, sessions_per_client => 100,
	dns_keep_min => '1s', dns_ttl_min => 0, dns_try_timeout => '500ms', dns_tries => 3 });
my ($state, $port) = ($house->{state}, $house->port('sink'));
$house->{config}{smtp_port} = $port;
$house->write_config;
$house->dnsfake("zone test 1\n!*.test delay=80\na.hosts.test A 127.0.0.11\n" .
	join '', map { "d$_.test 1 MX 10 a.hosts.test\n" } 0 .. $messages + 100);
$house->start;
$house->tool('sinks', [ "$house->{bin}/smtpsink", '-o', "$state/sink.log", "127.0.0.11:$port" ]);
wait_for(sub { IO::Socket::IP->new(PeerHost => '127.0.0.11', PeerPort => $port, Timeout => 1) }, 'the sink');
my %pid = map { ($_ => $house->pid($_)) } grep { $_ ne 'dnscache' } @{ $house->{services} };

sub ledger { return decode_json(($house->angctl('--json', 'ledger'))[1]) }
sub asked { my %n; $n{$_}++ for grep { /^UDP d\d+\.test MX/ } split /\n/, slurp("$state/dns.asked"); return \%n }
sub load
{
	my ($n) = @_;

	return $house->tool('source', [ "$house->{bin}/smtpsource", '-h', '127.0.0.1:' . $house->port('mx'), '-s', 8,
		'-m', $n, '-n', 5, '-R', 60, '-t', 'u@d%d.test', '-w', 60 ]);
}
sub all_is_delivered
{
	my ($n, $what) = @_;

	wait_for(sub { my $l = ledger(); $l->{delivered} == $n && $l->{queued} == 0 }, $what, 60);
}

my $source = load($messages);
my $over = 0;
for (1 .. $kills) {
	sleep 0.1 + rand 0.3;
	wait_for(sub { $house->pid('dnscache') }, 'dnscache to be started', 20);
	$house->kill('dnscache');
}
wait_for(sub { waitpid($source, WNOHANG) == $source }, 'the load to end', 60);
is($?, 0, "$messages messages were taken, while dnscache was killed $kills times") or diag slurp("$state/source.err");
delete $house->{tools}{source};
$house->ready('dnscache');
ok(eval { all_is_delivered($messages, 'all to be delivered') }, 'all of them arrive') or diag explain ledger();
is(ledger()->{$_}, 0, "none is $_") for qw(bounced expired dropped);
ok((grep { $_ > 1 } values %{ asked() }), 'questions that died with it were asked again');

# It hangs: neither dead nor answering, for longer than a question may take.
my $stopped = $house->pid('dnscache');
kill 'STOP', $stopped;
$source = load(20);
wait_for(sub { waitpid($source, WNOHANG) == $source }, 'the load to end', 60);
delete $house->{tools}{source};
is($?, 0, 'mail is taken while dnscache hangs');
ok(eval { wait_for(sub { ($house->angctl('--json', 'queue'))[1] =~ /did not answer in time/ }, 'questions to end', 30) },
	'questions end in doubt') or diag(($house->angctl('--json', 'queue'))[1]);
cmp_ok(ledger()->{queued}, '>', 0, 'mail waits');
kill 'CONT', $stopped;
ok(eval { all_is_delivered($messages + 20, 'all to be delivered') }, 'and arrives when dnscache goes on')
    or diag explain ledger();
is(ledger()->{$_}, 0, "none is $_") for qw(bounced expired dropped);
is($house->pid($_), $pid{$_}, "$_ has not fallen") for sort keys %pid;
$house->end;
done_testing;
