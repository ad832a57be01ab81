# SPDX-License-Identifier: ISC
# The cache of names before name servers that nobody here wrote: unbound with zones of its own, dnsmasq.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(need_root free_ports wait_for);
use JSON::PP;
use Peers;
use Test::More;

need_root();
Peers::need();
my ($p1, $p2) = free_ports(2);
my $house = House->new(services => [qw(logd dnscache)], config => { name_servers => ["127.0.0.1:$p1"] });
my $state = $house->{state};
my $soa = '@ 300 IN SOA ns.mail.example. root.mail.example. 1 3600 600 86400 77';
my $long = join "\n", map { "many 60 IN MX $_ a-rather-long-name-of-an-exchanger-$_.mail.example." } 1 .. 40;
my $unbound = Peers->unbound(dir => "$state/unbound", port => $p1, zones => {
	'mail.example' => <<ZONE, 'other.example' => <<OTHER, '2.0.192.in-addr.arpa' => <<REVERSE });
$soa
@ 300 IN NS ns
@ 120 IN MX 10 mx1
@ 120 IN MX 20 mx2.other.example.
@ 60 IN TXT "v=spf1 ip4:192.0.2.0/24 " "-all"
ns 60 IN A 192.0.2.53
mx1 60 IN A 192.0.2.1
mx1 60 IN AAAA 2001:db8::1
null 60 IN MX 0 .
www 50 IN CNAME web.other.example.
a 60 IN CNAME b
b 60 IN CNAME a
gone 60 IN CNAME nobody.other.example.
*.wild 60 IN A 192.0.2.9
$long
ZONE
$soa
@ 300 IN NS ns.mail.example.
mx2 60 IN A 192.0.2.2
web 40 IN CNAME host
host 60 IN A 192.0.2.3
OTHER
$soa
@ 300 IN NS ns.mail.example.
1 60 IN PTR mx1.mail.example.
REVERSE
$house->start;

sub lookup
{
	my ($s, $out, $err) = $house->angctl('--json', 'dns', 'lookup', @_);

	return eval { decode_json($out) } // { status => "exit $s: $err" };
}
sub is_answer
{
	my ($who, $words, $status, @records) = @_;
	my $r = lookup(split ' ', $words);

	is($r->{status}, $status, "$who: $words: $status") or diag explain $r;
	is_deeply([ sort @{ $r->{records} // [] } ], [ sort @records ], "$who: $words: its records") or diag explain $r;
	return $r;
}

is_answer('unbound', 'mail.example MX', 'ok', '10 mx1.mail.example', '20 mx2.other.example');
is_answer('unbound', 'mail.example TXT', 'ok', 'v=spf1 ip4:192.0.2.0/24 -all');
is_answer('unbound', 'mx1.mail.example A', 'ok', '192.0.2.1');
is_answer('unbound', 'mx1.mail.example AAAA', 'ok', '2001:db8::1');
is_answer('unbound', 'null.mail.example MX', 'ok', '0 .');
is_answer('unbound', '192.0.2.1', 'ok', 'mx1.mail.example');
my $r = is_answer('unbound', 'www.mail.example A', 'ok', '192.0.2.3');
is($r->{cname}, 'host.other.example', 'a chain over two zones: its end');
cmp_ok($r->{ttl_s}, '<=', 40, 'its shortest time');
is_answer('unbound', 'x.wild.mail.example A', 'ok', '192.0.2.9');
$r = is_answer('unbound', 'mx1.mail.example TXT', 'nodata');
cmp_ok($r->{ttl_s}, '<=', 77, 'believed as long as the SOA says');
is_answer('unbound', 'nobody.mail.example A', 'nxdomain');
is_answer('unbound', 'gone.mail.example A', 'nxdomain');
is_answer('unbound', 'a.mail.example A', 'temp');
$r = lookup('many.mail.example', 'MX');
is(scalar @{ $r->{records} // [] }, 40, 'unbound: a long answer, by TCP');
my ($stats) = map { decode_json($_) } ($house->angctl('--json', 'dns', 'stats'))[1];
cmp_ok($stats->{servers}[0]{over_tcp}, '>=', 1, 'TCP it was');

# The same house asks another one.
my $dnsmasq = Peers->server(dir => "$state/unbound", port => $p2, argv => [ 'dnsmasq', '-k', '-C', '/dev/null', '-x', '',
	'-u', 'root', '-p', $p2, '-R', '-h', '-z', '-a', '127.0.0.1', '--local=/masq.example/',
	'--mx-host=masq.example,mx.masq.example,5', '--host-record=mx.masq.example,192.0.2.77,2001:db8::77',
	'--txt-record=masq.example,one,two', '--cname=alias.masq.example,mx.masq.example' ]);
$house->{config}{name_servers} = ["127.0.0.1:$p2"];
$house->write_config;
$house->angctl('config', 'reload'); # the services that are not there do not take it
wait_for(sub { decode_json(($house->angctl('--json', 'dns', 'stats'))[1])->{servers}[0]{port} == $p2 }, 'the other one');
is_answer('dnsmasq', 'masq.example MX', 'ok', '5 mx.masq.example');
is_answer('dnsmasq', 'mx.masq.example A', 'ok', '192.0.2.77');
is_answer('dnsmasq', 'alias.masq.example AAAA', 'ok', '2001:db8::77');
is_answer('dnsmasq', 'masq.example TXT', 'ok', 'onetwo');
is_answer('dnsmasq', '192.0.2.77', 'ok', 'mx.masq.example');
is_answer('dnsmasq', 'no.masq.example A', 'nxdomain');
is_answer('dnsmasq', 'mx.masq.example MX', 'nodata');
is_answer('dnsmasq', 'mail.example MX', 'ok', '10 mx1.mail.example', '20 mx2.other.example'); # from the cache
is(lookup('elsewhere.example')->{status}, 'temp', 'dnsmasq refuses what it cannot forward: that is no answer');
$_->end for $dnsmasq, $unbound;
is_answer('nobody', 'masq.example MX', 'ok', '5 mx.masq.example');
is(lookup('fresh.example')->{status}, 'temp', 'nobody: it cannot be told');
$house->end;
done_testing;
