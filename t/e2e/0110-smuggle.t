# SPDX-License-Identifier: ISC
# SMTP smuggling: whatever stands where only CR LF dot CR LF may, one transaction makes at most
# one message, and what goes out holds no bare CR or LF.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp need_root);
use Talk qw(code);
use Test::More;

need_root();
my $house = House->new(config => { sessions_per_client => 1000, errors_max => 1000 })->start;
my ($out, $log) = map { "$house->{state}/$_" } qw(out sink.log);
$house->sink(args => [ '-d', $out ]);

my @ends = ("\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\r\n.\r\r\n", "\r\n.\r\r\n",
	"\n\r\n.\n", "\n.\r", "\r.\n", "\r\n\0.\r\n", "\0\r\n.\n", "\r\n.\0\r\n", "\r\n .\r\n",
	"\r\n\t.\r\n", "\r\n.\x0b\r\n", "\r\n.\x0c\r\n", "\r\n.\x85\r\n", "\r\n..\r\n", "\r\n.\r\n\n",
	"\r\n.\n\r\n", "\n\n.\n\n", "\r\n\r.\r\n", "\n\r.\n\r", "\r\n.=0D=0A", "\r\n%2e\r\n");
my $inner = "MAIL FROM:<evil\@b.example>\r\nRCPT TO:<victim\@d.example>\r\nDATA\r\n"
    . "X-Test-Id: SMUGGLED\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n";
my $n = 0;
my %expected;

sub begin
{
	my $t = $house->talk;

	$t->reply;
	$t->ask('EHLO client.example');
	$t->ask('MAIL FROM:<a@b.example>');
	$t->ask('RCPT TO:<c@d.example>');
	is(code($t->ask('DATA')), 354, 'DATA') or return;
	return $t;
}

sub shown { return join '', map { /[!-~]/ ? $_ : sprintf '\\x%02x', ord } split //, $_[0] }

for my $end (@ends) {
	for my $split (0, 1) {
		my $t = begin() or next;
		my $id = 'outer-' . ++$n;
		my $bytes = "X-Test-Id: $id\r\nSubject: outer\r\n\r\nouter$end$inner";

		# Once in one write, once with the ambiguous end byte by byte.
		if ($split) {
			my $at = index $bytes, $end;
			$t->raw(substr $bytes, 0, $at);
			$t->raw($_) for split //, $end;
			$t->raw(substr $bytes, $at + length $end);
		} else {
			$t->raw($bytes);
		}
		my @codes;
		while (defined(my $reply = $t->reply(@codes ? 0.5 : 20))) {
			push @codes, code($reply);
			last if $codes[-1] == 521 || $codes[-1] == 421;
		}
		# A well-formed end followed by LF is two messages by the sender's own will only if
		# the LF is refused as a command: then the session must be over.
		my $queued = grep { $_ == 250 } @codes;
		cmp_ok($queued, '<=', 1, shown($end) . ($split ? ' bytewise' : '') . ": at most one (@codes)");
		unlike("@codes", qr/354/, shown($end) . ': no second DATA was opened');
		$expected{$id} = 1 if $queued;
	}
}

# The house still works, and nothing was smuggled.
my $t = begin();
$t->raw("X-Test-Id: last\r\n\r\nfine\r\n.\r\n");
is(code($t->reply), 250, 'a plain message after all that');
wait_for(sub { my $got = slurp($log); !grep { $got !~ /^$_\t/m } 'last', keys %expected }, 'all that were accepted', 30);
unlike(slurp($log), qr/^SMUGGLED/m, 'no smuggled message came out');
unlike(slurp($log), qr/evil/, 'nor its sender');
my @bare = grep { slurp($_) =~ /\r(?!\n)|(?<!\r)\n/ } glob "$out/*";
is("@bare", '', 'no bare CR or LF went out');
my @nul = grep { slurp($_) =~ /\0/ } glob "$out/*";
is("@nul", '', 'nor a NUL');
$house->end;
done_testing;
