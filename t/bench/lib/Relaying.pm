# SPDX-License-Identifier: ISC
package Relaying;

# Scenarios in which mail goes through: see Scenarios.pm.

use strict;
use warnings;
use Gate;
use House qw(spew);
use Load;

# One measured load through a suite.
sub measured
{
	my ($suite, %load) = @_;
	my $before = $suite->{measure}->cpu_us;

	$suite->by_service if $suite->{house};
	my $r = Load::relay($suite, %load);
	$r->{cpu} = ($suite->{measure}->cpu_us - $before) / $load{messages};
	if ($suite->{house}) {
		my %sum = $suite->by_service;
		$r->{"cpu_$_"} = $sum{$_} / $load{messages} for keys %sum;
	}
	return $r;
}

# Turns of all suites with one load each; the first load of each makes files and processes and counts syncs and
# bytes. `times`: more messages where a suite is quick.
sub turns
{
	my ($c, $load, %words) = @_;
	my @turns;

	for my $kind ('ours', @{ $c->{opt}{peers} }) {
		my %load = (%$load, messages => $load->{messages} * ($kind eq 'ours' ? $load->{times} // 1 : 1));
		my $suite = $c->start($kind, %words);
		Load::relay($suite, %load, messages => $load{messages} / 10, rate => 0);
		unless ($load->{uncounted}) {
			my ($syncs, $bytes) = $suite->{measure}->counted($suite->{queue}, sub { Load::relay($suite, %load) });
			$c->once("${kind}_syncs", $syncs / $load{messages}, 'syncs/message') if defined $syncs;
			$c->once("${kind}_disk", $bytes / $load{messages}, 'bytes/message at the disk') if $words{disk} && defined $bytes;
		}
		push @turns, { name => $kind, run => sub { measured($suite, %load) } };
	}
	return @turns;
}

sub relay
{
	my ($c, %words) = @_;

	return turns($c, { messages => $c->n(10_000), times => 3 }, %words);
}

sub direct
{
	my ($c) = @_;
	my $suite = $c->start('none');

	return { name => 'none', run => sub { $suite->{measure}->within(sub { measured($suite, messages => $c->n(30_000)) }) } };
}

# Half of what it can.
sub half
{
	my ($c) = @_;
	my $suite = $c->start('ours');
	my $peak = 0;

	for (1 .. 3) {
		my $r = Load::relay($suite, messages => $c->n(20_000));
		$peak = $r->{rate} if $r->{rate} > $peak;
	}
	$c->once('peak', $peak, 'messages/s');
	return { name => 'ours', run => sub { measured($suite, messages => $c->n(20_000), rate => int $peak / 2) } };
}

sub slowsync
{
	my ($c) = @_;
	my @turns;

	for my $us (0, 2000) {
		my $name = $us ? 'slow' : 'ours';
		my %env = $us ? (LD_PRELOAD => House::bin_dir() . '/slowsync.so', SLOWSYNC_US => $us) : ();
		my $suite = $c->start('ours', name => $name, env => \%env);
		Load::relay($suite, messages => $c->n(3_000));
		push @turns, { name => $name, run => sub { measured($suite, messages => $c->n(20_000)) } };
	}
	return @turns;
}

# So many domains d0.example, d1.example, each with a host of its own.
sub routes
{
	my ($suite_port, $n, $file) = @_;

	spew($file, join '', map { sprintf "d%d.example smtp:[127.%d.%d.%d]:%d\n", $_, 1 + ($_ >> 14), $_ >> 7 & 127, 1 + ($_ & 127), $suite_port } 0 .. $n - 1);
}

sub many
{
	my ($c, $domains, $each, $once) = @_;
	my $table = House::build_dir() . "/t/bench.$$.routes";
	my $n = $domains * $each;

	# The sink's port is known after the start, so the table is read again.
	spew($table, '');
	my $suite = $c->start('ours', config => { route_table => $table });
	routes($suite->{sink}, $domains, $table);
	$suite->_angctl('config', 'reload');
	Load::relay($suite, messages => $c->n(2_000), to => 'a@d%d.example', wrap => 1);
	$c->at_end(sub { unlink $table });
	return map { my ($name, $wrap) = @$_; { name => $name, run => sub { measured($suite, messages => $n, to => 'a@d%d.example', wrap => $wrap) } } }
	    $once ? () : [ one => 1 ], [ many => $domains ];
}

my @RELAY = (
	[ rate_over_postfix => Gate::over('rate', 'ours', 'postfix'), '>=', 10, 'x' ],
	[ postfix_cpu_over_ours => Gate::over('cpu', 'postfix', 'ours'), '>=', 15, 'x' ],
	[ cpu => Gate::ours('cpu'), '<=', 200, 'us/message' ],
);

our %ROW = (
	direct => {
		help => 'source straight to sink, CPU of both: what the machine is like now',
		begin => \&direct,
		gates => [],
	},
	relay => {
		help => 'relay 4 KiB, 100 sessions of 10, one destination; root file system',
		begin => sub { relay($_[0]) },
		gates => [@RELAY],
	},
	'relay-ext4' => {
		help => 'the same, the queues on a journaled ext4',
		begin => sub { my ($c) = @_; relay($c, disk => $c->disk(6)) },
		gates => [@RELAY],
	},
	half => {
		help => 'relay at half of the peak rate',
		begin => \&half,
		gates => [ [ through50 => Gate::ours('through50'), '<=', 10, 'ms' ] ],
	},
	paced => {
		help => 'relay, 30 messages a second',
		begin => sub { my ($c) = @_; turns($c, { messages => $c->n(600), rate => 30, uncounted => 1 }) },
		gates => [ [ cpu_over_postfix => Gate::over('cpu', 'ours', 'postfix'), '<=', 1 / 3, 'x' ] ],
	},
	slowsync => {
		help => 'relay with and without 2 ms more in each sync',
		begin => \&slowsync,
		gates => [ [ rate_kept => Gate::over('rate', 'slow', 'ours'), '>=', 0.5, 'x' ] ],
	},
	many => {
		help => 'relay to 5,000 destinations, 4 messages each, and as many to one',
		begin => sub { my ($c) = @_; many($c, $c->n(5_000), 4) },
		gates => [ [ rate_of_one => Gate::over('rate', 'many', 'one'), '>=', 0.8, 'x' ] ],
	},
	'many-domains' => {
		help => '200,000 messages over 50,000 domains', full => 1,
		begin => sub { my ($c) = @_; many($c, $c->n(50_000), 4, 'once') },
		gates => [],
	},
);

1;
