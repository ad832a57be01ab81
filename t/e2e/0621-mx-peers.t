# SPDX-License-Identifier: ISC
# Mail by MX, as unbound tells it, to servers that nobody here wrote: Postfix, Exim, OpenSMTPD; each alone, and
# one in place of another that is gone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced drained events mail_in rows sunk);
use House qw(wait_for slurp spew need_root free_ports);
use Peers;
use Test::More;

need_root();
Peers::need();
my $N = $ENV{MESSAGES} // 20;
my %at = (postfix => '127.0.0.41', exim => '127.0.0.42', opensmtpd => '127.0.0.43', away => '127.0.0.49');
my ($port) = free_ports(1);
my $house = House->new(config => { relay_host => undef, smtp_port => $port, retry_first => '1s', retry_max => '2s',
	host_rest => '1s', host_rest_max => '30s', dns_ttl_min => 0, dns_keep_min => '1s' });
my ($state, $sink) = ($house->{state}, $house->port('sink'));
$house->{extra} = "domain sender.test { smtp_port = $sink }\n";
$house->write_config;
my $zone = "\$ORIGIN test.\n" . join "\n", '@ 60 IN SOA ns admin 1 60 60 60 60', '@ 60 IN NS ns', 'ns 60 IN A 127.0.0.1',
	(map { ("$_.host 60 IN A $at{$_}", "$_ 60 IN MX 10 $_.host") } sort keys %at),
	'opensmtpd 60 IN MX 5 away.host', 'two 60 IN MX 10 postfix.host', 'two 60 IN MX 20 exim.host',
	'equal 60 IN MX 10 exim.host', 'equal 60 IN MX 10 opensmtpd.host', 'equal 60 IN MX 10 away.host',
	'sender 60 IN MX 10 ns', '';
my $unbound = Peers->unbound(dir => "$state/unbound", port => $house->port('dns'), zones => { test => $zone });
mkdir "$state/mail";
$house->sink(args => [ '-d', "$state/mail" ]);
$house->start;
my %common = (port => $port, relay => $sink);
my $codes = '{nouser@postfix.test=550 5.1.1 Postfix knows no such user}';
my %peer = (
	postfix => Peers->postfix(dir => "$state/postfix", host => $at{postfix}, port => $port, relay => "[127.0.0.1]:$sink",
		main => { smtpd_recipient_restrictions => "check_recipient_access inline:{$codes}" }),
	exim => Peers->exim(%common, dir => "$state/exim", host => $at{exim}),
	opensmtpd => Peers->opensmtpd(%common, dir => "$state/opensmtpd", host => $at{opensmtpd}, domain => 'opensmtpd.test'),
);

sub text_of { my ($m) = @_; return slurp(sprintf '%s/mail/%06d', $state, $m->[1]) // '' }

# Who relayed what came for it, as [ name of the peer, X-Test-Id ] each.
sub came
{
	my ($to) = @_;
	my @got;

	for my $m (sunk($house)) {
		next unless grep { /^<\Q$to\E>/ } @$m[ 4 .. $#$m ];
		my ($by) = text_of($m) =~ /\sby (\w+)\.test\.example/;
		push @got, [ $by, $m->[0] ];
	}
	return @got;
}

sub send_to
{
	my ($n, @to) = @_;

	return map { mail_in($house, 'sender@sender.test', \@to, text => "X-Test-Id: $to[0]-$_\nSubject: n$_\n\na line\n.\n..x\n") } 1 .. $n;
}

sub arrives
{
	my ($n, $to) = @_;

	wait_for(sub { came($to) >= $n }, "$n messages to $to", 60);
	return came($to);
}

for my $name (sort keys %peer) {
	send_to($N, "a\@$name.test", "b\@$name.test");
	for my $to ("a\@$name.test", "b\@$name.test") {
		my @came = arrives($N, $to);
		my %ids = map { $_->[1] => 1 } @came;
		is(@came, $N, "$name: each once for $to");
		is(keys %ids, $N, "$name: each of them");
		is_deeply([ grep { $_->[0] ne $name } @came ], [], "$name: it was that one");
	}
}
like(text_of((sunk($house))[0]), qr/\r?\na line\r?\n\.\r?\n\.\.x\r?\n/, 'the text is whole');

for my $name (sort keys %peer) {
	my ($id) = send_to(1, "nouser\@$name.test", "c\@$name.test");

	wait_for(sub { events($house, event => 'failed', id => $id) }, "$name to refuse", 30);
	my ($e) = events($house, event => 'failed', id => $id);
	is($e->{to}, "nouser\@$name.test", "$name: it refuses one of two");
	like($e->{text}, qr/no such user|Invalid recipient/i, "$name: in its words");
	is(arrives(1, "c\@$name.test"), 1, "$name: the other comes");
}
my $notices = sub { scalar grep { grep { /^<sender\@sender\.test>/ } @$_[ 4 .. $#$_ ] } sunk($house) };
wait_for(sub { $notices->() >= 3 }, 'three notices', 30);

my ($late) = send_to(1, 'later@exim.test');
wait_for(sub { events($house, event => 'attempt', id => $late) }, 'a first attempt', 30);
my ($e) = events($house, event => 'attempt', id => $late);
is_deeply([ @$e{qw(status dsn)} ], [ 'deferred', '4.2.0' ], 'exim: what it puts off waits');
spew("$state/exim/ready", '');
is(arrives(1, 'later@exim.test'), 1, 'exim: and comes when it is taken');

send_to(30, 'e@equal.test');
my %by;
$by{ $_->[0] }++ for arrives(30, 'e@equal.test');
is_deeply([ sort keys %by ], [qw(exim opensmtpd)], 'equal ones share, past one that is not there') or diag explain \%by;

is_deeply([ map { $_->[0] } send_to(1, 'f@two.test') && arrives(1, 'f@two.test') ], ['postfix'], 'two: the first');
$peer{postfix}->end;
send_to(5, 'g@two.test');
is_deeply([ map { $_->[0] } arrives(5, 'g@two.test') ], [ ('exim') x 5 ], 'two: the other, when the first is gone');

drained($house, 30);
balanced($house, 'at the end');
is($notices->(), 3, 'a notice for each refusal');
$_->end for values %peer, $unbound;
done_testing();
