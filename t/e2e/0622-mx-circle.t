# SPDX-License-Identifier: ISC
# Two of ours face each other, and each believes that the other has the mail: by DNS, by aliases, or
# because an exchanger does not know that it is one. Whatever goes round comes to an end, and somebody is told exactly once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced events ledger mail_in sunk);
use House qw(wait_for spew need_root free_ports);
use Test::More;

need_root();
my %at = (left => '127.0.0.51', right => '127.0.0.52', sink => '127.0.0.53');
my ($port) = free_ports(1);
my $zone = join "\n", 'zone test 1', (map { "$_.test A $at{$_}" } sort keys %at), 'sender.test MX 10 sink.test',
	'both.test MX 10 left.test', 'both.test MX 20 right.test', '';
my %other = (left => 'right', right => 'left');
my %house;

for my $name (sort keys %other) {
	my $house = $house{$name} = House->new(extra => "listen face {\n\tclass = mx\n\taddress = $at{$name}:$port\n}\n",
		config => { hostname => "$name.test", relay_host => undef, smtp_port => $port, local_domains => ["$name.test"],
			retry_first => '1s', retry_max => '2s', dns_keep_min => '1s', received_max => 12 });
	$house->{config}{alias_file} = "$house->{state}/aliases";
	$house->write_config;
	spew("$house->{state}/aliases", "round: round\@$other{$name}.test\n");
	my ($status, undef, $err) = $house->sendmail('', '-bi');
	is($status, 0, "$name: aliases are built") or diag $err;
	# As after a change half made: what each is told of it differs.
	$house->dnsfake("${zone}circle.test MX 10 $other{$name}.test\n");
	$house->start;
}
my ($left, $right) = @house{qw(left right)};
my $log = "$left->{state}/sink.log";
$left->tool('sink', [ "$left->{bin}/smtpsink", '-o', $log, "$at{sink}:$port" ]);
wait_for(sub { IO::Socket::IP->new(PeerHost => $at{sink}, PeerPort => $port, Timeout => 2) }, 'the sink', 10);

sub both { my (@want) = @_; return map { events($_, @want) } $left, $right }

sub counts { return (scalar both(event => 'failed'), scalar both(event => 'notice'), scalar sunk($left, $log)) }

# Mail from..to comes in at this house: so many fail, so many notices are made, so many messages come to the sink.
sub plays
{
	my ($house, $from, $to, $want, $what) = @_;
	my @want = map { $_ + shift @$want } counts();

	mail_in($house, $from, $to);
	# A message is done when the notice of it is filed; then that is to be done, too.
	wait_for(sub {
		my @now = counts();
		my $left = grep { $now[$_] < $want[$_] } 0 .. 2;
		!$left && both(event => 'done') == both(event => 'received') + both(event => 'notice');
	}, "$what: all to be done", 40);
	is_deeply([counts()], \@want, $what);
	for my $name (sort keys %house) {
		is(ledger($house{$name})->{queued}, 0, "$name is empty");
		balanced($house{$name}, $name);
	}
}

# By MX.
plays($left, 'a@sender.test', 'round@circle.test', [ 1, 1, 1 ],
	'MX in a circle: one failure, one notice, which comes');
my ($e) = both(event => 'failed', to => 'round@circle.test');
is($e->{dsn}, '5.4.6', 'as a loop');
like($e->{text}, qr/hops|loop/i, 'it says so');
my $hops = both(event => 'received', from => 'a@sender.test');
cmp_ok($hops, '>=', 10, "it went round before ($hops)");
cmp_ok($hops, '<=', 13, 'but not for ever');

# The notice goes round as well, and has no sender that could be told.
plays($right, 'back@circle.test', 'round@circle.test', [ 2, 1, 0 ],
	'the notice in a circle as well: no notice of it');
is(both(event => 'failed', to => 'back@circle.test'), 1, 'it ends once');

# The address that fails in the end is not the one that mail was sent to.
plays($left, 'b@sender.test', 'round@left.test', [ 1, 1, 1 ], 'aliases in a circle: one failure, one notice, which comes');

# The better exchanger does not know that it is one.
plays($right, 'c@sender.test', 'x@both.test', [ 1, 1, 1 ],
	'the backup gives it to the best exchanger, which has it not');
is(both(event => 'received', to => 'x@both.test'), 2, 'that one does not give it back');
is((both(event => 'failed', to => 'x@both.test'))[0]{dsn}, '5.4.6', 'but ends it');

$_->end for $right, $left;
done_testing();
