# SPDX-License-Identifier: ISC
# QUEUE.md rule 18 between each two of its steps: bounced and qmgr are killed on entering one system call after
# another, from the failure that is durable to the notice that is filed. Each failure is told of once.
#
# DEPTH: so many calls of each kind more (check-long asks for them).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(events balanced ledger mail_in);
use File::Path qw(make_path);
use House qw(wait_for slurp need_root);
use POSIX qw(WNOHANG);
use Test::More;

need_root();
plan skip_all => 'needs strace' if system 'command -v strace >/dev/null 2>&1';
my $depth = $ENV{DEPTH} // 0;
my $house = House->new(config => { retry_first => '1s', retry_max => '2s', mx_workers => 1, deliver_workers => 1 })->start;
my ($state, $mail) = ($house->{state}, "$house->{state}/maildir/new");
make_path($mail);
$house->sink(args => [ '-d', $mail, '-X', 'DSN', '-r', 'rcpt,match=nouser=550 5.1.1 <nouser> User unknown' ]);

# strace kills the service on entering the Nth call of this name, before anything of it is done.
sub trap
{
	my ($service, $call, $n) = @_;
	my $err = "$state/strace.$service.$call.$n.err";

	$house->{tools}{strace} = Supervisor::spawn([ 'strace', '-f', '-o', '/dev/null', '-e', "trace=$call",
		'-e', "inject=$call:signal=KILL:when=$n", '-p', $house->pid($service) ], $err);
	wait_for(sub { (slurp($err) // '') =~ /attached|Operation not permitted/ }, 'strace to attach');
	return slurp($err) !~ /not permitted/;
}

sub untrap
{
	my $pid = $house->{tools}{strace};

	return delete $house->{tools}{strace} if waitpid($pid, WNOHANG) == $pid; # its tracee is gone
	$house->end_tool('strace');
}

sub done { return scalar events($house, event => 'done', id => $_[0]) }

my (%id, %died, $allowed);
my $round = 0;

# One failure with a trap on its way. True: it was sprung.
sub one
{
	my ($service, $call, $n) = @_;
	my $old;

	# Calls of qmgr are counted from the moment when it has a notice to hand over.
	$house->stop('bounced') if $service eq 'qmgr';
	my $id;
	my $fail = sub { $id = mail_in($house, 's' . ++$round . '@s.example', 'nouser@d.example') };
	if ($service eq 'qmgr') {
		$fail->();
		wait_for(sub { events($house, event => 'failed', id => $id) }, 'the failure', 20);
	}
	$old = $house->pid($service);
	$allowed = trap($service, $call, $n) or return 0;
	$service eq 'qmgr' ? $house->{super}->up('bounced') : $fail->();
	wait_for(sub { $house->pid($service) != $old || done($id) }, "$service to die at $call $n, or the end", 30);
	my $dead = $house->pid($service) != $old;
	untrap();
	$id{$id} = "$service, $call $n";
	$house->ready(qw(qmgr bounced));
	wait_for(sub { done($id) }, "the end after $id{$id}", 30);
	$died{$service}++ if $dead;
	return $dead;
}

my %calls = (
	bounced => [ [ recvmsg => 1 ], [ pread64 => 1 ], [ writev => 1 ], [ fdatasync => 1 ], [ write => 1 ], [ sendmsg => 2 ] ],
	qmgr => [ [ memfd_create => 1 ], [ fcntl => 1 ], [ sendmsg => 2 ], [ recvmsg => 2 ], [ pread64 => 2 ], [ pwrite64 => 1 ],
		[ fdatasync => 1 ] ],
);
for my $service (sort keys %calls) {
	for my $call (@{ $calls{$service} }) {
		for my $n (1 .. $call->[1] + $depth) {
			one($service, $call->[0], $n) or last;
		}
		last if !$allowed;
	}
}
SKIP: {
	skip 'strace may not trace here', 1 if !$allowed;
	cmp_ok($died{bounced}, '>=', 6, "bounced died at $died{bounced} steps");
	cmp_ok($died{qmgr}, '>=', 7, "qmgr died at $died{qmgr} steps");
}
wait_for(sub { ledger($house)->{queued} == 0 }, 'all reports to be delivered', 30);
# One notice may arrive twice where qmgr died while it was being delivered (rule 16); two must not be there.
my (%told, $twice);
for my $file (glob "$mail/*") {
	my $text = slurp($file) // '';
	my ($id) = $text =~ /^X-Angarium-Queue-ID: (\w+)/m or next;
	my ($msgid) = $text =~ /^Message-ID: (\S+)/m or next;
	$twice++ if $told{$id}{$msgid}++;
}
is_deeply([ map { $id{$_} } grep { !$told{$_} } sort keys %id ], [], 'each failure was told of');
is_deeply([ map { $id{$_} } grep { %{ $told{$_} // {} } > 1 } sort keys %id ], [], 'by one notice');
my $l = balanced($house, 'after all');
diag scalar(keys %id), " failures, $l->{notices} notices filed, of these $l->{dropped} dropped as duplicates; ", $twice // 0,
    ' delivered twice';
is($l->{notices} - $l->{dropped}, scalar keys %id, 'what was filed and not dropped is one for each');
$house->end;
done_testing;
