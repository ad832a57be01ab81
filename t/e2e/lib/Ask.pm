# SPDX-License-Identifier: ISC
package Ask;

# Questions to a house and mail into it, for tests that look at its queue.
#
#	my $id = mail_in($house, 'a@x.example', [ 'b@y.example' ], 'text');    # its queue id
#	my @rows = rows($house, 'queue', 'list');      # angctl --json, decoded
#	my ($m) = shown($house, $id);                  # angctl queue show, or nothing
#	my @events = events($house, event => 'attempt', id => $id);
#	balanced($house, 'after the restart');         # a test: the ledger adds up
#	my @got = at_sink($house, $id);                # lines of the sink, split

use strict;
use warnings;
use Exporter 'import';
use House qw(wait_for slurp);
use JSON::PP;
use Test::More ();

our @EXPORT_OK = qw(rows row shown events balanced ledger mail_in at_sink sunk drained as_user reachable);

sub rows
{
	my ($house, @words) = @_;
	my ($status, $out, $err) = $house->angctl('--json', @words);

	die "angctl @words: $status: $err" if $status;
	return map { decode_json($_) } split /\n/, $out;
}

sub row { return (rows(@_))[0] }

# What is known of a message in the queue; undef when it is no longer there.
sub shown
{
	my ($house, $id) = @_;
	my ($status, $out) = $house->angctl('--json', 'queue', 'show', $id);

	return $status ? undef : decode_json($out);
}

# Events in the log so far that have these values, oldest first.
sub events
{
	my ($house, %want) = @_;
	my @found;

	for my $line ($house->log_lines) {
		next if grep { index($line, $_) < 0 } values %want; # decoding all takes long
		my $e = eval { decode_json($line) } or next;
		push @found, $e unless grep { !defined $e->{$_} || $e->{$_} ne $want{$_} } keys %want;
	}
	return @found;
}

sub ledger { return row($_[0], 'ledger') }

sub balanced
{
	my ($house, $when) = @_;
	my $l = ledger($house);
	my $sum = 0;

	$sum += $l->{$_} for qw(delivered bounced expired dropped damaged queued);
	my $ok = $l->{balanced} && $l->{accepted} + $l->{notices} + $l->{expanded_out} - $l->{expanded_in} == $sum;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::ok($ok, "$when: the ledger adds up")
	    or Test::More::diag(join ' ', map { "$_=$l->{$_}" } sort keys %$l);
	return $l;
}

# By SMTP, the whole of the reply to the end of data must be 250. Options: text, mail and rcpt (parameters).
sub mail_in
{
	my ($house, $from, $to, %opt) = @_;
	my $t = $house->talk($opt{class});
	my $text = $opt{text} // "Subject: test\n\nHello.\n";

	$t->reply;
	for my $line ('EHLO client.example', "MAIL FROM:<$from>" . ($opt{mail} // ''),
		(map { "RCPT TO:<$_>" . ($opt{rcpt} // '') } ref $to ? @$to : $to), 'DATA') {
		my $reply = $t->ask($line) // 'nothing';
		die "$line: $reply\n" unless $reply =~ /^[23]/;
	}
	$text =~ s/\r?\n/\r\n/g;
	$text =~ s/^\./../mg;
	$t->raw("$text.\r\n");
	my $reply = $t->reply // 'nothing';
	$t->close;
	die "end of data: $reply\n" unless $reply =~ /^250 .*\b([0-9BCDFGHJ-NP-TV-Z]{13})$/;
	return $1;
}

# What the sink took: [test id, number, address, MAIL, RCPT ...] each.
sub sunk
{
	my ($house, $file) = @_;

	return map { [ split /\t/ ] } split /\n/, slurp($file // "$house->{state}/sink.log") // '';
}

# Those of them with this recipient, once there are so many.
sub at_sink
{
	my ($house, $rcpt, $n, $file) = @_;
	my @got;

	$n //= 1;
	wait_for(sub {
		@got = grep { grep { /^<\Q$rcpt\E>/ } @$_[ 4 .. $#$_ ] } sunk($house, $file);
		@got >= $n;
	}, "$rcpt at the sink", 20);
	return @got;
}

# Until nothing is queued.
sub drained
{
	my ($house, $seconds) = @_;

	return wait_for(sub {
		my $l = ledger($house);
		$l->{queued} == 0 && $l->{unfiled} == 0 && $l;
	}, 'the queue to drain', $seconds // 20);
}

# For run(): as a user who is nobody here.
sub as_user
{
	my $uid = shift // 65111;

	return ('setpriv', "--reuid=$uid", "--regid=$uid", '--clear-groups');
}

# Whether that user can come to this path: not where the clone lies below a folder of mode 0700.
sub reachable
{
	my ($path) = @_;

	return (House::run(as_user(), 'test', '-e', $path))[0] == 0;
}

1;
