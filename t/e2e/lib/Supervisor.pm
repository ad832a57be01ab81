# SPDX-License-Identifier: ISC
package Supervisor;

# Starts programs in the foreground, restarts each alone when it dies, and ends them all, with
# whatever they forked. Two kinds: "perl", a small child of the test, which restarts at once, and
# "s6", the real s6-svscan. Either way the test's death closes a socket, and that ends everything:
# the child is the reaper of all orphans below it, so no process escapes by forking.

use strict;
use warnings;
use IO::Select;
use IO::Socket;
use POSIX qw(:sys_wait_h :fcntl_h _exit);
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Time::HiRes qw(time);

use constant { PR_SET_PDEATHSIG => 1, PR_SET_CHILD_SUBREAPER => 36 };
use constant SYS_prctl => (POSIX::uname())[4] eq 'aarch64' ? 167 : 157;
my %socks; # of all supervisors of this test
my $PAUSE = 0.2; # a program that died within this long is started again only after it

# fork and exec with output appended to a file; dies with its parent. Returns the pid.
sub spawn
{
	my ($argv, $err, $env) = @_;
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	syscall SYS_prctl, PR_SET_PDEATHSIG, 9, 0, 0, 0;
	POSIX::setsid();
	my $fd = POSIX::open($err, O_WRONLY | O_CREAT | O_APPEND, 0644);
	my $null = POSIX::open('/dev/null', O_RDONLY);
	POSIX::dup2($null, 0);
	POSIX::dup2($fd, $_) for 1, 2;
	POSIX::close($_) for 3 .. 63;
	%ENV = (%ENV, %{ $env // {} });
	$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE CHLD);
	{ no warnings 'exec'; exec { $argv->[0] } @$argv; }
	print STDERR "$argv->[0]: $!\n";
	_exit(127);
}

sub new
{
	my ($class, %opt) = @_;

	socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		# Another's socket, held open here, would keep its supervisor alive.
		close $_ for $ours, values %socks;
		$SIG{$_} = 'IGNORE' for qw(INT HUP PIPE);
		syscall SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0;
		eval { $opt{kind} eq 's6' ? _serve_s6($theirs, \%opt) : _serve($theirs, \%opt); 1 }
		    or print STDERR "supervisor: $@";
		_end_below();
		_exit(0);
	}
	close $theirs;
	$ours->autoflush(1);
	my $self = bless { sock => $ours, child => $pid, owner => $$ }, $class;
	$socks{$pid} = $ours;
	$self->_ask('hello');
	return $self;
}

sub _ask
{
	my ($self, $line) = @_;

	local $SIG{PIPE} = 'IGNORE';
	print { $self->{sock} } "$line\n";
	my $answer = readline $self->{sock};
	die "the supervisor is gone\n" unless defined $answer;
	chomp $answer;
	return $answer;
}

sub pid { return $_[0]->_ask("pid $_[1]") }       # 0 when it does not run
sub kill { return $_[0]->_ask("kill $_[1] $_[2]") } # the pid it killed, or 0
sub up { return $_[0]->_ask("up $_[1]") }
sub down { return $_[0]->_ask("down $_[1]") } # returns when it is gone: TERM, after 35 s KILL
sub gave_up { return $_[0]->_ask("gave_up $_[1]") } # the exit status that forbids a restart, or 0
sub starts { return $_[0]->_ask("starts $_[1]") }

sub end
{
	my ($self) = @_;

	return if !$self->{sock} || $self->{owner} != $$;
	delete $socks{ $self->{child} };
	# Not only closed: whoever was forked meanwhile has it as well.
	shutdown $self->{sock}, 2;
	close delete $self->{sock};
	waitpid $self->{child}, 0;
}

# Ends it without a word: what it has started dies with it, at once.
sub abandon
{
	my ($self) = @_;

	delete $socks{ $self->{child} };
	CORE::kill 'KILL', $self->{child};
	waitpid $self->{child}, 0;
	close delete $self->{sock};
}

# ---- the child's side

# Every process below this one: each is ours, being the reaper of all orphans.
sub _below
{
	my (%children, @found);

	for my $stat (glob '/proc/[0-9]*/stat') {
		open my $fh, '<', $stat or next;
		local $/;
		my ($pid, $ppid) = (<$fh> // '') =~ /^(\d+) \(.*\) \S (\d+)/s or next;
		push @{ $children{$ppid} }, $pid;
	}
	my @todo = @{ $children{$$} // [] };
	while (defined(my $pid = shift @todo)) {
		push @found, $pid;
		push @todo, @{ $children{$pid} // [] };
	}
	return @found;
}

sub _end_below
{
	my $patience = time + 2;

	CORE::kill 'TERM', _below();
	while (1) {
		1 while waitpid(-1, WNOHANG) > 0;
		my @left = _below() or return;
		CORE::kill 'KILL', @left if time > $patience;
		select undef, undef, undef, 0.01;
	}
}

sub _note
{
	my ($opt, @words) = @_;

	open my $fh, '>>', "$opt->{state}/supervisor.log" or return;
	printf $fh "%.3f %s\n", time, "@words";
}

sub _launch
{
	my ($opt, $p) = @_;

	$p->{pid} = spawn($p->{argv}, "$opt->{state}/$p->{name}.err", $opt->{env});
	$p->{at} = time;
	$p->{starts}++;
	_note($opt, $p->{name}, $p->{pid}, 'start');
}

sub _reap
{
	my ($opt, $programs) = @_;

	while ((my $pid = waitpid -1, WNOHANG) > 0) {
		my $status = $?;
		my ($p) = grep { $_->{pid} == $pid } values %$programs or next;
		$p->{pid} = 0;
		_note($opt, $p->{name}, $pid, 'end', $status & 127 ? 'signal ' . ($status & 127)
			: 'exit ' . ($status >> 8));
		# Options, configuration, no such program: no use in trying again.
		@$p{qw(wanted gave_up)} = (0, $status >> 8) if grep { $status >> 8 == $_ } 64, 78, 127;
		if (my $asker = delete $p->{down}) {
			print $asker "ok\n";
		}
	}
}

sub _serve
{
	my ($sock, $opt) = @_;
	my %programs = map {
		$_ => { name => $_, argv => $opt->{programs}{$_}, pid => 0, at => 0, wanted => 1,
			starts => 0 }
	} keys %{ $opt->{programs} };
	my ($rd, $wr);
	my $buf = '';

	pipe $rd, $wr or die "pipe: $!";
	$_->blocking(0) for $rd, $wr;
	$sock->autoflush(1);
	local $SIG{CHLD} = sub { syswrite $wr, 'x' };
	_launch($opt, $programs{$_}) for @{ $opt->{order} };
	while (1) {
		my $timeout = _due($opt, \%programs);
		my @ready = IO::Select->new($sock, $rd)->can_read($timeout);
		sysread $rd, my $dust, 512;
		_reap($opt, \%programs);
		next unless grep { $_ == $sock } @ready;
		sysread($sock, $buf, 4096, length $buf) or return;
		while ($buf =~ s/^(.*)\n//) {
			my $answer = _obey($opt, \%programs, $sock, split / /, $1);
			print $sock "$answer\n" if defined $answer;
		}
	}
}

# Starts what is due, says how long until the next thing is.
sub _due
{
	my ($opt, $programs) = @_;
	my $next;

	for my $name (@{ $opt->{order} }) {
		my $p = $programs->{$name};
		my $wait;

		if ($p->{pid} && $p->{down}) {
			$wait = $p->{patience} - time;
			CORE::kill 'KILL', $p->{pid} if $wait <= 0;
			$wait = 1 if $wait <= 0;
		} elsif (!$p->{pid} && $p->{wanted}) {
			$wait = $p->{at} + $PAUSE - time;
			if ($wait <= 0) {
				_launch($opt, $p);
				next;
			}
		}
		$next = $wait if defined $wait && (!defined $next || $wait < $next);
	}
	return $next;
}

sub _obey
{
	my ($opt, $programs, $sock, $verb, $name, $sig) = @_;
	my $p = defined $name ? $programs->{$name} : undef;

	return 'ok' if $verb eq 'hello';
	return '0' unless $p;
	return $p->{pid} if $verb eq 'pid';
	return $p->{starts} if $verb eq 'starts';
	return $p->{gave_up} // 0 if $verb eq 'gave_up';
	if ($verb eq 'kill') {
		return $p->{pid} && CORE::kill($sig, $p->{pid}) ? $p->{pid} : 0;
	}
	if ($verb eq 'up') {
		@$p{qw(wanted gave_up)} = (1, 0);
		$p->{at} = 0;
		return 'ok';
	}
	$p->{wanted} = 0; # down
	return 'ok' unless $p->{pid};
	@$p{qw(down patience)} = ($sock, time + 35);
	CORE::kill 'TERM', $p->{pid};
	return undef; # answered when it is gone
}

# ---- s6

sub _serve_s6
{
	my ($sock, $opt) = @_;
	my $scan = "$opt->{state}/scan";
	my ($buf, %starts) = ('');

	mkdir $scan;
	for my $name (@{ $opt->{order} }) {
		my $argv = join ' ', map { my $w = $_; $w =~ s/'/'\\''/g; "'$w'" } @{ $opt->{programs}{$name} };
		mkdir "$scan/$name";
		open my $fh, '>', "$scan/$name/run" or die "$scan/$name/run: $!";
		print $fh "#!/bin/sh\nexec $argv >>'$opt->{state}/$name.err' 2>&1 </dev/null\n";
		close $fh;
		chmod 0755, "$scan/$name/run";
	}
	$sock->autoflush(1);
	spawn([ 's6-svscan', $scan ], "$opt->{state}/s6.err", $opt->{env});
	while (sysread $sock, $buf, 4096, length $buf) {
		while ($buf =~ s/^(.*)\n//) {
			my ($verb, $name, $sig) = split / /, $1;
			print $sock _obey_s6($scan, $verb, $name, $sig), "\n";
		}
	}
}

sub _obey_s6
{
	my ($scan, $verb, $name, $sig) = @_;

	return 'ok' if $verb eq 'hello';
	return 0 if $verb eq 'gave_up';
	my $pid = `s6-svstat -o pid '$scan/$name' 2>/dev/null` || 0;
	chomp $pid;
	$pid = 0 if $pid < 0;
	return $pid if $verb eq 'pid';
	return $pid && CORE::kill($sig, $pid) ? $pid : 0 if $verb eq 'kill';
	system 's6-svc', $verb eq 'up' ? ('-wu', '-T', '5000', '-u') : ('-wd', '-T', '40000', '-d'), "$scan/$name";
	return 'ok';
}

1;
