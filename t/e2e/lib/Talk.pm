# SPDX-License-Identifier: ISC
package Talk;

# An SMTP client for tests: plain socket, no opinion of its own.
#
#	my $t = Talk->new('127.0.0.1', $port);
#	my $r = $t->reply;                  # "220 mx.example ESMTP", all lines joined by "\n"
#	$t->say('EHLO client.example');     # adds CRLF
#	$t->raw("RSET\r\nNOOP\r\n");
#	is(code($t->reply), 250);
#	$t->closed;                         # true when the server has closed, all read
#	my @problems = $t->play($file);     # a dialogue
#
# A dialogue is a text file:
#
#	# comment, or an empty line
#	C: EHLO client.example       sent with CRLF
#	C> RSET\r\nNOOP\r\n          sent as it stands; escapes \r \n \t \0 \\ \xNN in both
#	S: 250-PIPELINING            the next reply has such a line, anywhere (order does not matter)
#	S: 250 *                     the next reply is read; * is any text, ? any byte
#	S: 250                       only the code counts
#	S: close                     the server closes
#
# A reply is all its lines: any number of "S: NNN-" lines, then one "S: NNN ", describe one.

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::IP;
use Time::HiRes qw(time);

our @EXPORT_OK = qw(code);
our $SECONDS = 20;

sub new
{
	my ($class, $host, $port) = @_;
	my $sock = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 10)
	    or die "connect to $host port $port: $@\n";

	return bless { sock => $sock, in => '', eof => 0 }, $class;
}

sub code { return defined $_[0] && $_[0] =~ /^(\d{3})/ ? $1 : 0 }

sub say { my ($self, $line) = @_; return $self->raw("$line\r\n") }

sub raw
{
	my ($self, $bytes) = @_;
	my $end = time + $SECONDS;

	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes) {
		IO::Select->new($self->{sock})->can_write($end - time) or return 0;
		my $n = syswrite $self->{sock}, $bytes;
		return 0 unless defined $n;
		substr $bytes, 0, $n, '';
	}
	return 1;
}

sub _fill
{
	my ($self, $end) = @_;
	my $left = $end - time;

	return 0 if $self->{eof} || $left <= 0;
	return 0 unless IO::Select->new($self->{sock})->can_read($left);
	my $n = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
	$self->{eof} = 1 unless $n;
	return $n ? 1 : 0;
}

# The next whole reply, its lines without CRLF joined by "\n"; undef when none came in time or the
# server closed. A line that does not end in CR LF is an answer no client should have to read.
sub reply
{
	my ($self, $seconds) = @_;
	my $end = time + ($seconds // $SECONDS);

	until ($self->{in} =~ /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/) {
		$self->_fill($end) or return undef;
	}
	$self->{in} =~ s/^((?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n)//;
	my $text = $1;
	die "a reply line does not end in CR LF: $text" if $text =~ /(?<!\r)\n/;
	$text =~ s/\r\n/\n/g;
	chomp $text;
	return $text;
}

# Say, and take the reply.
sub ask { my ($self, $line) = @_; $self->say($line); return $self->reply }

# A whole transaction: the code of the reply to its end, or of the first refusal.
sub send_mail
{
	my ($self, $from, $to, $text) = @_;

	for my $line ("MAIL FROM:<$from>", map { "RCPT TO:<$_>" } ref $to ? @$to : $to) {
		my $code = code($self->ask($line));
		return $code unless $code == 250;
	}
	my $code = code($self->ask('DATA'));
	return $code unless $code == 354;
	$text =~ s/\r?\n/\r\n/g;
	$text =~ s/^\./../mg;
	$text .= "\r\n" unless $text =~ /\r\n\z/;
	$self->raw("$text.\r\n");
	return code($self->reply);
}

# True when the server closes within the time with nothing more said.
sub closed
{
	my ($self, $seconds) = @_;
	my $end = time + ($seconds // $SECONDS);

	1 while $self->_fill($end);
	return $self->{eof} && $self->{in} eq '';
}

sub close { my ($self) = @_; CORE::close delete $self->{sock} if $self->{sock} }

my %ESCAPE = (r => "\r", n => "\n", t => "\t", 0 => "\0", '\\' => '\\');

sub _unescape
{
	my ($s) = @_;

	$s =~ s/\\(?:x([0-9A-Fa-f]{2})|([rnt0\\]))/defined $1 ? chr hex $1 : $ESCAPE{$2}/ge;
	return $s;
}

sub _glob
{
	my ($pattern) = @_;
	my $re = join '', map { $_ eq '*' ? '.*' : $_ eq '?' ? '.' : quotemeta } split //, $pattern;

	return qr/^$re$/s;
}

# One expected reply against what came: undef, or what is wrong.
sub _differs
{
	my ($got, $last, @others) = @_;

	return 'no reply' unless defined $got;
	return 'got ' . ($got =~ s/\n/ | /gr) unless code($got) eq substr $last, 0, 3;
	my @lines = map { substr $_, 4 } grep { length > 3 } split /\n/, $got;
	for my $want (map { substr $_, 4 } grep { length > 4 } @others, $last) {
		my $re = _glob($want);
		return "no line like '$want' in " . ($got =~ s/\n/ | /gr)
		    unless grep { $_ =~ $re } @lines;
	}
	return undef;
}

# Plays a dialogue; returns the first problem with its line, or nothing. %set replaces ${NAME}.
sub play
{
	my ($self, $file, %set) = @_;
	my @others;

	open my $fh, '<:raw', $file or return "$file: $!";
	while (my $line = <$fh>) {
		$line =~ s/\r?\n\z//;
		$line =~ s/\$\{(\w+)\}/$set{$1} \/\/ ''/ge;
		next if $line =~ /^\s*(?:#|$)/;
		my ($kind, $text) = $line =~ /^(C:|C>|S:) ?(.*)$/s or return "$file:$.: what is '$line'?";
		if ($kind ne 'S:') {
			$self->raw(_unescape($text) . ($kind eq 'C:' ? "\r\n" : ''))
			    or return "$file:$.: the server closed before '$text'";
			next;
		}
		if ($text eq 'close') {
			$self->closed or return "$file:$.: the server does not close: $self->{in}";
			next;
		}
		return "$file:$.: no code in '$text'" unless $text =~ /^\d{3}(?:[ -]|$)/;
		if ($text =~ /^\d{3}-/) {
			push @others, $text;
			next;
		}
		my $problem = _differs($self->reply, $text, splice @others);
		return "$file:$.: expected '$text', $problem" if defined $problem;
	}
	return;
}

1;
