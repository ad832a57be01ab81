# SPDX-License-Identifier: ISC
# Each process from inside its sandbox: what it must not do is refused. A sandbox that cannot be entered
# means no service; one that is switched off by name says so.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(events mail_in at_sink);
use House qw(wait_for slurp run need_root);
use POSIX ();
use Test::More;

need_root();
my $off = House->new(services => [], config => { sandbox_off => 'router' });
my $house = House->new(services => []);
my ($state, $bin) = @$house{qw(state bin)};

# Service to its rows, and how much is tried at least in each.
my %rows = (logd => ['logd'], dnscache => ['dnscache'], router => ['router'], qmgr => ['qmgr'], smtpd => [qw(smtpd-parent smtpd-worker smtpd-local)],
	bounced => ['bounced'], deliver => [qw(deliver-parent deliver-worker)], local => [qw(local-parent local-worker local-child)]);
# What must stand among the refused in every row.
my @always = qw(execve ptrace process-vm-readv chroot mount setuid capset bpf io-uring userfaultfd module socket-raw socket-netlink
	open-passwd-rw mprotect-exec unshare setns segment-pwritev2-noappend segment-setfl segment-mmap segment-reopen segment-splice
	segment-copy-range become-root become-root-low become-group-root);
# And where others' descriptors are held: those that write files of their own may cut them.
my @handed = qw(segment-ftruncate segment-fallocate segment-punch segment-pwrite segment-pwritev segment-lseek);

for my $name (sort keys %rows) {
	my ($status, $out, $err) = run("$bin/$name", '-c', $house->conf_file, '--probe');
	my ($row, %acts);

	is($status, 0, "$name --probe") or diag $err;
	for my $line (split /\n/, $out) {
		$row = $1 if $line =~ /^profile (\S+)$/;
		$acts{ $row // '?' }{$2} = $1 if $line =~ /^(refused|permitted|absent|ALLOWED) (\S+)/;
	}
	is_deeply([ sort keys %acts ], [ sort @{ $rows{$name} } ], "$name: its rows");
	for my $r (@{ $rows{$name} }) {
		my $a = $acts{$r} // {};
		my @tried = grep { $a->{$_} ne 'absent' } keys %$a;
		my @refused = grep { $a->{$_} eq 'refused' } keys %$a;

		diag sprintf '%-15s %d acts, %d refused, permitted: %s', $r, scalar @tried, scalar @refused,
		    join ' ', sort grep { $a->{$_} eq 'permitted' } keys %$a;
		cmp_ok(scalar @tried, '>=', 40, "$r: 40 acts at least");
		is_deeply([ grep { ($a->{$_} // '') !~ /^(?:refused|absent)$/ }
		    grep({ $_ ne 'capset' || $r !~ /^local-(?:parent|worker)$/ } @always), $r =~ /^(?:qmgr|logd|dnscache|local-.*)$/ ? () :
		    $r eq 'router' ? grep { $_ ne 'segment-lseek' } @handed : @handed ], [], "$r: the worst are refused");
		is_deeply([ grep { $a->{$_} eq 'ALLOWED' } keys %$a ], [], "$r: nothing else stands open");
	}
}
my ($status, $out) = run("$bin/router", '-c', $off->conf_file, '--probe');
isnt($status, 0, 'the probe finds a sandbox that is off');
like($out, qr/^ALLOWED execve/m, 'and says what stands open');
is(scalar(() = glob '/tmp/angarium-probe-*'), 0, 'it leaves nothing behind');

# A filter around the service that refuses one system call, or one prctl(2).
sub refusing
{
	my ($nr, $first) = @_;
	my @code = ([ 0x20, 0, 0, 0 ], [ 0x15, 0, defined $first ? 3 : 1, $nr ]);

	push @code, [ 0x20, 0, 0, 16 ], [ 0x15, 0, 1, $first ] if defined $first;
	push @code, [ 0x06, 0, 0, 0x00050001 ], [ 0x06, 0, 0, 0x7fff0000 ];
	my $text = join '', map { pack 'S C C L', @$_ } @code;
	return sub {
		my $prog = pack 'S x6 P', scalar @code, $text;
		syscall((POSIX::uname())[4] eq 'aarch64' ? 167 : 157, 22, 2, $prog) == 0 or POSIX::_exit(99); # PR_SET_SECCOMP
	};
}

my ($seccomp, $prctl) = (POSIX::uname())[4] eq 'aarch64' ? (277, 167) : (317, 157);
my %step = (no_new_privs => refusing($prctl, 38), landlock => refusing(446), seccomp => refusing($seccomp));
# Without it landlock_restrict_self(2) is not called either.
delete $step{landlock} unless (slurp('/sys/kernel/security/lsm') // 'landlock') =~ /landlock/;
for my $name (sort keys %rows) {
	for my $step (sort keys %step) {
		my ($status, $out, $err) = run({ child => $step{$step}, seconds => 5 }, "$bin/$name", '-c', $house->conf_file);

		is($status, 75, "$name does not start without $step");
		like($err, qr/^$name: cannot enter the sandbox of $rows{$name}[0]: $step: Operation not (?:permitted|supported)$/m, 'it says which step');
	}
}
$house->end;
$off->end;

sub field { my ($pid, $key) = @_; return ((slurp("/proc/$pid/status") // '') =~ /^\Q$key\E:\s*(.*)$/m)[0] }

subtest 'in a whole house' => sub {
	my $h = House->new->start;
	for my $p ($h->processes) {
		my ($who, $pid) = @$p;
		is(field($pid, 'Seccomp'), 2, "$who: its calls are filtered");
		is(field($pid, 'NoNewPrivs'), 1, "$who: no new privileges");
		# local becomes its recipients: CAP_SETGID (6) and CAP_SETUID (7).
		my $caps = $who =~ /^local/ ? 'c' : '';
		is(field($pid, $_) =~ tr/0//dr, $caps, "$who: $_, no capabilities but those it needs") for qw(CapEff CapPrm);
		is(field($pid, $_) =~ tr/0//dr, '', "$who: $_, none") for qw(CapInh CapBnd CapAmb);
		ok(!(grep { $_ == 0 } split ' ', field($pid, 'Uid') . ' ' . field($pid, 'Gid')), "$who: not root");
		next if $who eq 'router'; # tables and users are anywhere; Landlock says where it may read
		isnt(readlink "/proc/$pid/root", '/', "$who: its own root folder") unless $who =~ /^local/;
	}
	my %uids = map { (split m{/}, $_->[0])[0] => (split ' ', field($_->[1], 'Uid'))[0] } $h->processes;
	my %once = reverse %uids;
	is(scalar keys %once, scalar @House::SERVICES, 'a user each');
	is(scalar events($h, event => 'sandbox-off'), 0, 'nobody runs outside');
	$h->end;
};

subtest 'switched off by name' => sub {
	my $h = House->new(config => { sandbox_off => [qw(router deliver)] })->start;
	$h->sink;
	for my $p ($h->processes) {
		my ($who, $pid) = @$p;
		is(field($pid, 'Seccomp'), $who =~ /^(?:router|deliver)/ ? 0 : 2, $who);
		isnt((split ' ', field($pid, 'Uid'))[0], 0, "$who: not root all the same");
	}
	wait_for(sub { events($h, event => 'sandbox-off') >= 3 }, 'the log to say so');
	my %said = map { $_->{detail} => $_ } events($h, event => 'sandbox-off');
	is_deeply([ sort keys %said ], [qw(deliver-parent deliver-worker router)], 'those say so in the log');
	is($said{router}{level}, 'warning', 'as a warning');
	mail_in($h, 'a@x.example', 'b@y.example');
	ok(at_sink($h, 'b@y.example'), 'mail flows');
	$h->stop('qmgr');
	my $pid = Supervisor::spawn([ "$h->{bin}/qmgr", '-c', $h->conf_file, '--no-sandbox' ], "$h->{state}/qmgr2.err");
	$h->{tools}{qmgr2} = $pid;
	wait_for(sub { grep { $_->{detail} eq 'qmgr' } events($h, event => 'sandbox-off') }, 'qmgr to say so');
	is(field($pid, 'Seccomp'), 0, '--no-sandbox does the same');
	$h->end;
	my $wrong = House->new(services => [], config => { sandbox_off => 'everything' });
	is((run("$h->{bin}/router", '-c', $wrong->conf_file))[0], 78, 'but by its name only');
};
done_testing;
