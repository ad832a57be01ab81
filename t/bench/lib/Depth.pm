# SPDX-License-Identifier: ISC
package Depth;

# A queue that is deep for a destination that is dead: see Scenarios.pm.

use strict;
use warnings;
use Gate;
use House qw(run wait_for slurp);
use JSON::PP ();
use Load;
use Measure;
use Relaying;
use Time::HiRes qw(time);

my $DEAD = 'dead.example';

sub ask
{
	my ($suite, @words) = @_;

	return map { JSON::PP::decode_json($_) } split /\n/, $suite->_angctl(@words, '--json');
}

# Recipients queued; undef while nobody answers.
sub queued
{
	my ($suite) = @_;
	my ($status, $out) = $suite->{house}->angctl('ledger', '--json');

	return $status == 0 ? JSON::PP::decode_json((split /\n/, $out)[0])->{queued} : undef;
}

# All that was sent is filed and deferred.
sub fill
{
	my ($suite, $n) = @_;

	Load::accept($suite, messages => $n, size => 1024, to => "a%d\@$DEAD", vanishes => 1, seconds => 3600);
	$suite->{dead} += $n;
	wait_for(sub { my ($l) = ask($suite, 'ledger'); !$l->{in_flight} && $l->{queued} >= $suite->{dead} && !$l->{unfiled} }, 'the queue to be filed', 600);
}

sub start
{
	my ($c, $name, $n) = @_;
	my $suite = $c->start('ours', name => $name,
		extra => qq(domain "$DEAD" {\n\troute = { "127.0.0.1:1" }\n\tretry_first = 1d\n\tretry_max = 1d\n}\n));

	Load::relay($suite, messages => $c->n(2_000));
	fill($suite, 1_000);
	return $suite if $n <= 1_000;
	my $before = Measure::pss_of($suite->{house}->pid('qmgr'));
	$suite->by_service;
	my $begun = time;
	fill($suite, $n - 1_000);
	my $pss = Measure::pss_of($suite->{house}->pid('qmgr'));
	my %us = $suite->by_service;
	$c->once("${name}_queued", $n, 'recipients');
	$c->once("${name}_filled", ($n - 1_000) / (time - $begun), 'messages/s');
	$c->once("${name}_fill_qmgr", $us{qmgr} / ($n - 1_000), 'us/message of qmgr');
	$c->once("${name}_memory", ($pss - $before) * 1024 / ($n - 1_000), 'bytes of qmgr/recipient');
	return $suite;
}

# qmgr falls and is started again, while mail comes in at a pace.
sub restart
{
	my ($c, $suite) = @_;
	my $before = queued($suite);
	my $name = Load::name();

	Load::expect($suite, $name, 600);
	my $pid = Supervisor::spawn([ "$suite->{bin}/smtpsource", '-T', '-h', "127.0.0.1:$suite->{port}", '-s', 5, '-m', 600, '-n', 10, '-R', 30,
		'-i', $name, '-l', 4096 ], "$suite->{state}/restart.out");
	wait_for(sub { Load::_read($suite); $suite->{runs}{$name}{arrived} > 30 }, 'mail to flow');
	my $killed = time;
	$suite->{house}->kill('qmgr');
	# What was under way when it fell has come, or not; what is begun after it is new.
	my $then = $suite->{runs}{$name}{arrived} + 5;
	wait_for(sub { Load::_read($suite); $suite->{runs}{$name}{arrived} > $then }, 'qmgr to serve new mail', 120);
	$c->once('restart_serves', time - $killed, 's');
	wait_for(sub { (queued($suite) // 0) >= $before }, 'qmgr to have its whole queue', 300);
	$c->once('restart_whole', time - $killed, 's');
	waitpid $pid, 0;
	$c->once('restart_refused', ($? == 0 ? 0 : 1), slurp("$suite->{state}/restart.out") =~ s/\n//r);
	delete $suite->{runs}{$name}{doubled}; # as many as were in flight may come twice
	Load::await($suite, $name, 120);
}

sub depth
{
	my ($c) = @_;
	my $deep = $c->{opt}{depth};
	my @suites = map { start($c, @$_) } [ shallow => 1_000 ], [ deep => $deep ];

	$c->at_end(sub { restart($c, $suites[1]) });
	return map { my $suite = $_; { name => $suite->{name}, run => sub { Relaying::measured($suite, messages => $c->n(20_000)) } } } @suites;
}

our %ROW = (
	depth => {
		help => 'relay to a live destination with 1,000 and with --depth queued for a dead one, then a restart of qmgr',
		begin => \&depth,
		gates => [
			[ rate_kept => Gate::over('rate', 'deep', 'shallow'), '>=', 0.95, 'x' ],
			[ p99_kept => Gate::over('through99', 'shallow', 'deep'), '>=', 0.95, 'x' ],
			[ cpu_qmgr => Gate::over('cpu_qmgr', 'deep', 'shallow'), '<=', 1.5, 'x' ],
			[ memory => Gate::once('deep_memory'), '<=', 100, 'bytes of qmgr/recipient' ],
			[ restart_serves => Gate::once('restart_serves'), '<=', 2, 's' ],
			[ restart_whole => Gate::once('restart_whole'), '<=', 15, 's' ],
			[ restart_refused => Gate::once('restart_refused'), '<=', 0, 'runs' ],
		],
	},
);

1;
