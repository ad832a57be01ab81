# SPDX-License-Identifier: ISC
# The harness itself: services of a few lines stand in for the real ones.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for free_ports slurp spew run build_dir);
use Talk qw(code);
use Test::More;

my $bin = build_dir() . "/t/fake.$$";
mkdir build_dir();
mkdir build_dir() . '/t';
mkdir $bin;
for my $name (@House::SERVICES) {
	spew("$bin/$name", <<'FAKE');
#!/usr/bin/perl
use IO::Socket::IP; use IO::Socket::UNIX; use IO::Select;
my ($me) = $0 =~ m{([^/]+)$};
open my $f, '<', $ARGV[1]; my $text = join '', <$f>;
my ($run) = $text =~ /run_dir = "(.*)"/;
chdir $run; mkdir 'ctl'; unlink "ctl/$me";
my @s = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "ctl/$me", Listen => 9);
if ($me eq 'smtpd') {
	push @s, IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $1, Listen => 9, ReuseAddr => 1)
	    while $text =~ /"127[.]0[.]0[.]1:(\d+)"[},]/g;
	fork or do { $0 = 'worker'; sleep 1000; exit };
}
my $sel = IO::Select->new(@s);
$SIG{CHLD} = 'IGNORE';
while (1) { for ($sel->can_read) { my $c = $_->accept; next if $me ne 'smtpd' || fork;
	print $c "220 fake\r\n"; while (<$c>) {
	print $c /^EHLO/ ? "250-fake\r\n250-SIZE 10\r\n250 HELP\r\n" : /^QUIT/ ? "221 2.0.0 bye\r\n" : "500 no\r\n";
	last if /^QUIT/ } exit } }
FAKE
	chmod 0755, "$bin/$name";
}

for my $kind ('perl', 's6') {
	my $house = House->new(name => "house-$kind", bin => $bin, supervisor => $kind);
	$house->start;
	# The stand-in forks for each caller; the callers of start() have left.
	ok(wait_for(sub { $house->processes == @House::SERVICES + 1 }, 'the callers to go', 5), "$kind: the services and a worker");
	my $old = $house->pid('qmgr');
	is($house->kill('qmgr'), $old, "$kind: killed");
	wait_for(sub { my $p = $house->pid('qmgr'); $p && $p != $old }, 'qmgr again', 5);
	$house->ready('qmgr');
	pass("$kind: started again");
	$house->stop('router');
	is($house->pid('router'), 0, "$kind: stopped stays stopped");
	$house->start_one('router');
	ok($house->pid('router'), "$kind: and comes back when told");

	my $file = "$house->{state}/a.talk";
	spew($file, "# one\nS: 220 *\nC: EHLO x\nS: 250-SIZE *\nS: 250\nC: FOO\nS: 500 no\nC: QUIT\nS: 221 2.0.0 *\nS: close\n");
	is_deeply([ $house->talk->play($file) ], [], "$kind: a dialogue");
	spew($file, "S: 220\nC: EHLO x\nS: 250-PIPELINING\nS: 250\n");
	like(($house->talk->play($file))[0], qr/:4: .*no line like 'PIPELINING'/, "$kind: and a wrong one");
	my @pids = map { $_->[1] } $house->processes;
	$house->end;
	is(scalar(grep { kill 0, $_ } @pids), 0, "$kind: nothing is left running");
	ok(!-e $house->{state}, "$kind: nor lying about");
}
is_deeply([ run({ in => 'x' x 300_000 }, 'cat') ], [ 0, 'x' x 300_000, '' ], 'run carries much both ways');
is((run({ seconds => 0.3 }, 'sleep', 9))[0], 124, 'run ends what takes too long');
system 'rm', '-rf', $bin;
done_testing;
