# SPDX-License-Identifier: ISC
package House;

# A house for one test: a state folder below build/, a configuration, the services in the
# foreground under a supervisor that restarts each alone, and an end that leaves no process.
#
#	my $house = House->new(config => { max_message_bytes => 100_000 });
#	$house->start;                       # returns when every service answers
#	my $talk = $house->talk;             # an SMTP client, see Talk.pm
#	$house->kill('qmgr');                # kill -9: the supervisor starts it again
#	$house->stop('qmgr'); $house->start_one('qmgr');
#	my ($status, $out, $err) = $house->angctl('queue', '--json');
#
# The binaries are those of BUILD/V/bin (environment, build/debug when unset). Everything a house
# writes is in $house->{state}; it is kept when the test failed, else removed.

use strict;
use warnings;
use Cwd qw(getcwd abs_path);
use Errno qw(EPROTOTYPE);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use IO::Handle;
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX qw(:sys_wait_h _exit);
use Socket qw(AF_UNIX SOCK_STREAM SOCK_SEQPACKET PF_UNSPEC pack_sockaddr_un SO_REUSEADDR);
use Test::More ();
use Time::HiRes qw(time sleep);
use Supervisor;
use Talk;

our @EXPORT_OK = qw(wait_for free_ports slurp spew run build_dir bin_dir top need_root);

our @SERVICES = qw(logd dnscache router qmgr smtpd deliver local bounced);
my $TOP = abs_path(dirname(__FILE__) . '/../../..');
my @alive;
our $awaiting; # a wait_for is under way

sub top { return $TOP }

sub build_dir
{
	my $dir = $ENV{BUILD} // 'build';

	return $dir =~ m{^/} ? $dir : "$TOP/$dir";
}

sub bin_dir { return build_dir() . '/' . ($ENV{V} // 'debug') . '/bin' }

# The one place that polls: everything else waits on a descriptor or a child.
sub wait_for
{
	my ($true, $what, $seconds) = @_;
	my $end = time + ($seconds // 10);
	my $got;

	local $awaiting = 1;
	until ($got = $true->()) {
		die "waited in vain for $what\n" if time > $end;
		sleep 0.02;
	}
	return $got;
}

# N different ports that nothing on 127.0.0.1 and [::1] listens on, and no other test is given while this process
# lives: a name in the abstract space of Unix sockets is held for each. Below the range from which the kernel
# takes ports for those that connect.
my %port_held;
sub free_ports
{
	my ($n) = @_;
	my @ports;

	for (1 .. 10_000) {
		return @ports if @ports == $n;
		my $port = 12_000 + int rand 20_000;
		my $name = IO::Socket::UNIX->new(Local => "\0angarium-test-port-$port", Listen => 1) or next;
		my @free = map { IO::Socket::IP->new(LocalHost => $_, LocalPort => $port, Listen => 1, ReuseAddr => 1) } '127.0.0.1', '::1';
		next if @free != 2;
		$port_held{$port} = $name;
		push @ports, $port;
	}
	die "no free ports\n";
}

sub slurp
{
	my ($path) = @_;

	open my $fh, '<:raw', $path or return undef;
	local $/;
	return scalar <$fh> // '';
}

sub spew
{
	my ($path, $text) = @_;

	open my $fh, '>:raw', $path or die "$path: $!\n";
	print $fh $text;
	close $fh or die "$path: $!\n";
}

# Run a program to its end: run({ in => text, seconds => 30 }, @argv) -> (status, stdout, stderr),
# the status as the shell has it (128 + signal; 124 when it took too long and was killed).
sub run
{
	my $how = ref $_[0] ? shift : {};
	my @argv = @_;
	my ($inr, $inw, $outr, $outw, $errr, $errw);

	pipe($inr, $inw) && pipe($outr, $outw) && pipe($errr, $errw) or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		POSIX::dup2(fileno $inr, 0);
		POSIX::dup2(fileno $outw, 1);
		POSIX::dup2(fileno $errw, 2);
		POSIX::close($_) for map { fileno $_ } $inr, $inw, $outr, $outw, $errr, $errw;
		%ENV = (%ENV, %{ $how->{env} // {} });
		chdir $how->{dir} if $how->{dir};
		$how->{child}->() if $how->{child};
		{ no warnings 'exec'; exec { $argv[0] } @argv; }
		print STDERR "$argv[0]: $!\n";
		_exit(127);
	}
	close $_ for $inr, $outw, $errw;
	return _converse($pid, $how, $inw, $outr, $errr);
}

sub _converse
{
	my ($pid, $how, $inw, $outr, $errr) = @_;
	my ($in, $end) = ($how->{in} // '', time + ($how->{seconds} // 60));
	my %text = (fileno($outr) => '', fileno($errr) => '');
	my ($outn, $errn) = (fileno $outr, fileno $errr);
	my ($reads, $writes) = (IO::Select->new($outr, $errr), IO::Select->new($inw));
	my $late = 0;

	local $SIG{PIPE} = 'IGNORE';
	$inw->blocking(0);
	while ($reads->count) {
		if ($in eq '' && $writes->count) {
			$writes->remove($inw);
			close $inw;
		}
		my $left = $end - time;
		if ($left <= 0) {
			CORE::kill 'KILL', $pid;
			$late = 1;
			last;
		}
		my ($r, $w) = IO::Select->select($reads, $writes, undef, $left);
		for my $fh (@{ $w // [] }) {
			my $n = syswrite $fh, $in;
			$in = defined $n ? substr($in, $n) : $!{EAGAIN} ? $in : '';
		}
		for my $fh (@{ $r // [] }) {
			my $no = fileno $fh;
			sysread($fh, $text{$no}, 65536, length $text{$no}) or $reads->remove($fh);
		}
	}
	waitpid $pid, 0;
	my $status = $late ? 124 : $? & 127 ? 128 + ($? & 127) : $? >> 8;
	return ($status, $text{$outn}, $text{$errn});
}

# Skips the whole file where the test cannot run, with the reason in the TAP.
sub need_root
{
	Test::More::plan(skip_all => 'needs root: services start as root and drop') if $> != 0;
}

sub new
{
	my ($class, %opt) = @_;
	my $name = $opt{name} // ($0 =~ m{([^/]+?)(?:\.t)?$})[0];
	my $state = $opt{state} // build_dir() . "/t/$name.$$" . (@alive ? '.' . @alive : '');
	my %port;

	@port{qw(mx submission sink dns)} = free_ports(4);
	my $self = bless {
		state => $state, name => $name, bin => $opt{bin} // bin_dir(),
		config => { %{ $opt{config} // {} } }, extra => $opt{extra} // '',
		services => $opt{services} // [@SERVICES], kind => $opt{supervisor} // 'perl',
		port => { %port, %{ $opt{port} // {} } }, id_base => 61000, owner => $$,
		tools => {}, env => $opt{env} // {},
	}, $class;
	remove_tree($state) if -d $state && !$opt{keep};
	make_path("$state/$_") for '', qw(run log spool out);
	chmod 0755, $state, map { "$state/$_" } qw(run log spool);
	$self->write_config;
	push @alive, $self;
	return $self;
}

sub port { return $_[0]{port}{ $_[1] } }
sub conf_file { return "$_[0]{state}/angarium.conf" }

sub _value
{
	my ($v) = @_;

	return '{' . join(', ', map { _value($_) } @$v) . '}' if ref $v eq 'ARRAY';
	return $v if $v =~ /^\d+$/ || $v =~ /^(?:yes|no|true|false)$/;
	$v =~ s/(["\\])/\\$1/g;
	return qq("$v");
}

# The whole text, new each time: a test changes $house->{config}, calls this, then reloads.
sub write_config
{
	my ($self) = @_;
	my ($state, $port) = @$self{qw(state port)};
	my %key = (
		id_base => $self->{id_base},
		hostname => 'mx.test.example', myorigin => 'test.example',
		run_dir => "$state/run", log_dir => "$state/log",
		spool_dir => "$state/spool/queue", cache_dir => "$state/dnscache", drop_dir => "$state/drop",
		relay_networks => [ '127.0.0.0/8', '[::1]/128' ],
		# Everything goes to the sink, unless a test has users and aliases of its own.
		local_domains => [], alias_file => '',
		relay_host => "127.0.0.1:$port->{sink}", bounce_rules => "$TOP/etc/bounce.rules",
		name_servers => [ "127.0.0.1:$port->{dns}" ],
		%{ $self->{config} },
	);
	my $text = join '', map { "$_ = " . _value($key{$_}) . "\n" }
	    grep { defined $key{$_} } sort keys %key;

	for my $class (qw(mx submission)) {
		my @at = map { "$_:$port->{$class}" } '127.0.0.1', '[::1]';
		$text .= "listen $class {\n\tclass = $class\n\taddress = " . _value(\@at) . "\n}\n";
	}
	spew($self->conf_file, $text . $self->{extra});
}

sub start
{
	my ($self) = @_;

	$self->launch;
	$self->ready;
	return $self;
}

# Without waiting for anything.
sub launch
{
	my ($self) = @_;

	$self->{super} = Supervisor->new(
		kind => $self->{kind}, state => $self->{state},
		env => $self->{env},
		programs => { map { $_ => [ "$self->{bin}/$_", '-c', $self->conf_file ] }
			    @{ $self->{services} } },
		order => $self->{services},
	);
}

# All services (or those named) answer: control sockets accept, ports too.
sub ready
{
	my ($self, @names) = @_;

	for my $name (@names ? @names : @{ $self->{services} }) {
		wait_for(sub {
			my $status = $self->{super}->gave_up($name);
			die "$name: exit $status: ", slurp("$self->{state}/$name.err") // '' if $status;
			$self->answers($name);
		}, "$name to answer", 20);
	}
	return 1;
}

sub answers
{
	my ($self, $name) = @_;

	return 0 unless $self->{super}->pid($name) && accepts("$self->{state}/run", "ctl/$name");
	return 1 if $name ne 'smtpd';
	for my $class (qw(mx submission)) {
		return 0 unless IO::Socket::IP->new(PeerHost => '127.0.0.1',
			PeerPort => $self->{port}{$class}, Timeout => 2);
	}
	return 1;
}

# True when something accepts at this socket path, of either type; the folder may be deeper than
# a socket address holds.
sub accepts
{
	my ($dir, $name) = @_;

	opendir my $dh, $dir or return 0;
	my $short = '/proc/self/fd/' . fileno($dh) . "/$name";
	for my $type (SOCK_SEQPACKET, SOCK_STREAM) {
		socket my $s, AF_UNIX, $type, PF_UNSPEC or return 0;
		return 1 if connect $s, pack_sockaddr_un($short);
		return 0 unless $! == EPROTOTYPE;
	}
	return 0;
}

sub pid { return $_[0]{super}->pid($_[1]) }
sub kill { my ($self, $name, $sig) = @_; return $self->{super}->kill($name, $sig // 'KILL') }
sub stop { my ($self, @n) = @_; $self->{super}->down($_) for @n ? @n : reverse @{ $self->{services} } }

# Every process of the house at one instant, and whoever would start them again: as when the power goes. Tools
# go on. start() begins anew.
sub power_off
{
	my ($self) = @_;
	my @pids = map { $_->[1] } $self->processes;

	$self->{super}->abandon; # who was started since dies with it
	CORE::kill 'KILL', @pids;
	wait_for(sub { !grep { my $s = slurp("/proc/$_/stat"); defined $s && $s !~ /^\d+ \(.*\) [ZX]/s } @pids }, 'all to be dead');
}

sub start_one
{
	my ($self, $name) = @_;

	$self->{super}->up($name);
	return $self->ready($name);
}

# Every process of the house now: [name, pid], children of a service (its workers) as "name/N".
sub processes
{
	my ($self) = @_;
	my (@all, %children);

	for my $stat (glob '/proc/[0-9]*/stat') {
		my $text = slurp($stat) // next;
		my ($pid, $ppid) = $text =~ /^(\d+) \(.*\) \S (\d+)/s or next;
		push @{ $children{$ppid} }, $pid;
	}
	for my $name (@{ $self->{services} }) {
		my $pid = $self->pid($name) or next;
		my ($n, @below) = (0, @{ $children{$pid} // [] });
		push @all, [ $name, $pid ];
		while (defined(my $child = shift @below)) {
			push @all, [ "$name/" . ++$n, $child ];
			push @below, @{ $children{$child} // [] };
		}
	}
	return @all;
}

sub talk
{
	my ($self, $class, $host) = @_;

	return Talk->new($host // '127.0.0.1', $self->{port}{ $class // 'mx' });
}

sub angctl
{
	my ($self, @args) = @_;
	my $how = ref $args[0] ? shift @args : {};

	return run($how, "$self->{bin}/angctl", '-c', $self->conf_file, @args);
}

# The sendmail of this build, pointed at this house.
sub sendmail
{
	my ($self, $in, @args) = @_;

	return run({ in => $in, env => $self->sendmail_env }, "$self->{bin}/sendmail", @args);
}

sub sendmail_env
{
	my ($self) = @_;

	return { ANGARIUM_ROOT => $self->{state} };
}

# A sink for this house's relay host: its folder is state/out, see t/tool/smtpsink.c.
sub sink
{
	my ($self, %opt) = @_;

	return $self->tool('sink', [ "$self->{bin}/smtpsink", '-o', "$self->{state}/sink.log",
		@{ $opt{args} // [] }, "127.0.0.1:$self->{port}{sink}" ], $self->{port}{sink});
}

# A name server for this house, see t/tool/dnsfake.pl: $house->dnsfake(<<'E') with its zone; called
# again, with another zone. What it was asked: state/dns.asked.
sub dnsfake
{
	my ($self, $zone) = @_;
	my $file = "$self->{state}/dns.zone";

	spew("$file.new", $zone);
	rename "$file.new", $file or die "$file: $!\n";
	if ($self->{tools}{dnsfake}) {
		my $read = sub { scalar grep { $_ eq 'READ' } split /\n/, slurp("$self->{state}/dns.asked") // '' };
		my $before = $read->();
		CORE::kill 'HUP', $self->{tools}{dnsfake};
		return wait_for(sub { $read->() > $before }, 'dnsfake to read its zone');
	}
	return $self->tool('dnsfake', [ 'perl', "$TOP/t/tool/dnsfake.pl", '-o', "$self->{state}/dns.asked",
		"127.0.0.1:$self->{port}{dns}", $file ], $self->{port}{dns});
}

# Start a helper program; it ends with the house. With a port: wait until that accepts.
sub tool
{
	my ($self, $name, $argv, $port) = @_;
	my $pid = Supervisor::spawn($argv, "$self->{state}/$name.err");

	$self->{tools}{$name} = $pid;
	wait_for(sub {
		waitpid($pid, WNOHANG) == $pid
		    and die "$name: ended at once: ", slurp("$self->{state}/$name.err") // '';
		IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Timeout => 2);
	}, "$name on port $port", 10) if $port;
	return $pid;
}

sub end_tool
{
	my ($self, $name, $sig) = @_;
	my $pid = delete $self->{tools}{$name} or return;

	CORE::kill $sig // 'TERM', $pid;
	waitpid $pid, 0;
}

# The event log, decoded by the caller: one line each. Who looks once, outside of a wait_for, sees all that was said
# until now: each service ends a turn and its events go to logd, logd takes a turn, and writes what it gathers.
sub log_lines
{
	my ($self) = @_;

	unless ($awaiting) {
		$self->angctl(@$_) for ['status'], [ 'status', 'logd' ], [ 'trace', '0' x 13 ];
	}
	return map { split /\n/, slurp($_) // '' } sort glob "$self->{state}/log/angarium.log*";
}

# What the services said, for a failed test.
sub explain
{
	my ($self) = @_;

	for my $file (sort glob("$self->{state}/*.err"), glob("$self->{state}/log/*")) {
		my @lines = split /\n/, slurp($file) // '';
		next unless @lines;
		Test::More::diag("--- $file");
		Test::More::diag($_) for @lines > 25 ? @lines[-25 .. -1] : @lines;
	}
}

sub end
{
	my ($self) = @_;

	return if $self->{ended}++ || $self->{owner} != $$;
	$self->end_tool($_) for keys %{ $self->{tools} };
	$self->{super}->end if $self->{super};
	my $good = Test::More->builder->is_passing && !$self->{failed};
	$self->explain unless $good;
	remove_tree($self->{state}) if $good && !$ENV{KEEP};
}

sub DESTROY { my ($self) = @_; local $?; $self->end }

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

END {
	my $status = $?;
	for my $house (@alive) {
		$house->{failed} = 1 if $status;
		$house->end;
	}
	$? = $status;
}

1;
