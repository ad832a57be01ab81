# SPDX-License-Identifier: ISC
package Debian;

# A whole Debian in name spaces of its own, with what `make install` installs, under a real init; see
# t/tool/debian.sh.
#
#	my $dest = Debian::installed();                    # or the test is skipped, with the reason
#	my $more = Debian::layer(callers => qw(cron at));  # further packages; or undef
#	my $m = Debian->start(lower => [$dest], init => ['/lib/systemd/systemd']);
#	my ($status, $out, $err) = $m->run({ in => text }, 'systemctl', 'status');
#	$m->shell('grep x /etc/y');                        # its output; dies when it fails
#	my $talk = $m->talk(25);                           # see Talk.pm
#	my $letter = $m->letter('alice', 'a subject');     # in her mailbox
#	$m->end;
#
# The programs of the build appear in it at /mnt (smtpsource, smtpsink).

use strict;
use warnings;
use File::Path qw(make_path remove_tree);
use House qw(wait_for slurp spew run build_dir bin_dir top);
use POSIX ();
use Supervisor;
use Talk;
use Test::More ();

my @TOOLS = qw(systemd s6 runit procps);
my @alive;

sub script { return top() . '/t/tool/debian.sh' }
sub dir { return build_dir() . '/debian' }

sub skip
{
	my ($why) = @_;

	chomp $why;
	die "$why\n" if $ENV{SKIP_NOTHING};
	Test::More::plan(skip_all => $why);
}

# The packages that hold what programs are linked with.
sub libraries
{
	my (%file, %package);

	for my $line (map { split /\n/, (run('ldd', $_))[1] } @_) {
		$file{$1} = 1 if $line =~ m{=> \S*/([^/ ]+) \(};
	}
	for my $line (split /\n/, (run('dpkg', '-S', map { "*/$_" } sort keys %file))[1]) {
		$package{$1} = 1 if $line =~ m{^([^:,]+)(?::\w+)?: \S*/([^/]+)$} && $file{$2} && $1 !~ /-dev$/;
	}
	return sort keys %package;
}

# A folder with what is installed for PREFIX=/usr, and the Debian for it; the release build.
sub installed
{
	my ($kind) = @_;
	my $dest = build_dir() . "/t/dest.$$";
	my ($status, $out, $err);

	skip('needs root: a machine of its own') if $> != 0;
	($status, $out, $err) = run({ seconds => 900, dir => top(), env => { MAKEFLAGS => '', MAKELEVEL => '' } },
		'make', '-s', 'V=' . ($ENV{V} // 'debug'), 'BUILD=' . build_dir(), 'PREFIX=/usr', "DESTDIR=$dest", 'install-files');
	die "make install: $out$err" if $status;
	($status, $out, $err) = run({ seconds => 900 }, 'sh', script(), 'make', dir(), @TOOLS,
		libraries(glob("$dest/usr/lib/angarium/*"), map { bin_dir() . "/$_" } qw(angctl smtpsource smtpsink)));
	skip($err) if $status == 75;
	die "debian.sh: exit $status: $err" if $status;
	($status, $out, $err) = run({ seconds => 60 }, 'sh', script(), 'machine', dir(), 'true');
	skip("no machine of its own here: $err") if $status;
	return $dest;
}

# A folder with these packages to lie over it; undef and the reason where they cannot be had.
sub layer
{
	my ($name, @packages) = @_;
	my $dir = build_dir() . "/$name";
	my ($status, undef, $err) = run({ seconds => 900 }, 'sh', script(), 'layer', dir(), $dir, @packages);

	return $status ? (undef, $err) : "$dir/upper";
}

sub _child
{
	my ($pid) = @_;

	return $pid && (split ' ', slurp("/proc/$pid/task/$pid/children") // '')[0];
}

sub start
{
	my ($class, %opt) = @_;
	my $err = build_dir() . "/t/machine.$$." . @alive;
	my @lower = map { ('-l', $_) } @{ $opt{lower} // [] };
	my @places = map { ('-b', $_) } bin_dir() . ':/mnt', @{ $opt{places} // [] };

	my $self = bless { err => $err, owner => $$ }, $class;
	$self->{pid} = Supervisor::spawn([ 'sh', script(), 'machine', dir(), @lower, @places, @{ $opt{init} } ], $err);
	push @alive, $self;
	my $name = $opt{comm} // $opt{init}[0] =~ s{.*/}{}r;
	wait_for(sub {
		$self->{init} = _child($self->{pid});
		$self->{init} && (slurp("/proc/$self->{init}/comm") // '') eq "$name\n";
	}, "$name: " . (slurp($err) // ''), 20);
	return $self;
}

# A command's words within the machine.
sub words { my ($self, @argv) = @_; return ('nsenter', '-t', $self->{init}, qw(-m -p -n -u -i -C), '--', @argv) }

sub run_in
{
	my ($self, @args) = @_;
	my $how = ref $args[0] ? shift @args : {};

	return run({ %$how, env => { PATH => '/usr/sbin:/usr/bin:/sbin:/bin', HOME => '/root', LANG => 'C.UTF-8', %{ $how->{env} // {} } } },
		$self->words(@args));
}

sub shell
{
	my ($self, $text) = @_;
	my ($status, $out, $err) = $self->run_in('sh', '-c', $text);

	die "$text: exit $status: $out$err" if $status;
	chomp $out;
	return $out;
}

# What a user's mailbox has with this subject: { text, sender } each.
sub letters
{
	my ($self, $who, $subject) = @_;
	my (undef, $box) = $self->run_in('cat', "/var/mail/$who");

	return grep { $_->{text} =~ /^Subject: \Q$subject\E$/m } map { { text => $_, sender => /^Return-Path: <(.*?)>/m ? $1 : undef } }
	    map { s/\n\z//r } grep { length } split /^From .*\n/m, $box;
}

# The first of them, once it is there, with head, body and their number.
sub letter
{
	my ($self, $who, $subject) = @_;
	my @got;

	eval { wait_for(sub { @got = $self->letters($who, $subject) }, "$subject for $who", 30) };
	if (!@got) {
		Test::More::diag(join '', map { ($self->run_in('sh', '-c', $_))[1] } 'mailq', 'grep -h ^Subject: /var/mail/*', 'tail -20 /var/log/angarium/angarium.log');
		die $@;
	}
	my ($head, $body) = $got[0]{text} =~ /\A(.*?\n)\n(.*)\z/s;
	return { %{ $got[0] }, head => $head, body => $body, n => scalar @got };
}

# Until nothing is on its way.
sub settled
{
	my ($self) = @_;

	wait_for(sub { ($self->run_in('mailq'))[1] =~ /^Mail queue is empty$/m }, 'an empty queue', 20);
}

# An SMTP client of this process, with its socket in the machine's network.
sub talk
{
	my ($self, $port) = @_;
	my $setns = (POSIX::uname())[4] eq 'aarch64' ? 268 : 308;
	my $talk;

	open my $ours, '<', '/proc/self/ns/net' or die "ns: $!";
	open my $theirs, '<', "/proc/$self->{init}/ns/net" or die "ns: $!";
	syscall($setns, fileno $theirs, 0) == 0 or die "setns: $!";
	eval { $talk = Talk->new('127.0.0.1', $port) };
	syscall($setns, fileno $ours, 0) == 0 or die "setns: $!";
	die $@ unless $talk;
	return $talk;
}

# In the background; ends with the machine. Its output goes to a file, whose name is returned.
sub tool
{
	my ($self, $name, @argv) = @_;

	$self->{tools}{$name} = Supervisor::spawn([ $self->words(@argv) ], "$self->{err}.$name");
	return "$self->{err}.$name";
}

sub end_tool
{
	my ($self, $name) = @_;
	my $pid = delete $self->{tools}{$name} or return 0;

	waitpid $pid, 0;
	return $? >> 8;
}

sub end
{
	my ($self) = @_;

	return if $self->{owner} != $$ || !$self->{pid};
	# With process 1 of a name space go all others in it.
	my $pid = delete $self->{pid};
	kill 'KILL', $self->{init} // $pid;
	waitpid $_, 0 for $pid, values %{ $self->{tools} // {} };
}

sub DESTROY { my ($self) = @_; local $?; $self->end }

END {
	my $status = $?;
	$_->end for @alive;
	if ($$ == ($alive[0] ? $alive[0]{owner} : $$)) {
		remove_tree(build_dir() . "/t/dest.$$");
		unlink glob build_dir() . "/t/machine.$$.*" if Test::More->builder->is_passing && !$status;
	}
	$? = $status;
}

1;
