# SPDX-License-Identifier: ISC
package Responder;

# An SMTP server on a stream socket of this machine, to see what sendmail says to one and to answer
# what a real one answers rarely.
#
#	my $r = Responder->new("$dir/run/submit", origin => 'o.example',
#		answers => { 'RCPT nosuch' => '550 5.1.1 User unknown', DOT => 'close' });
#	my @mail = $r->mail;     # each { from, rcpt => [...], data, commands => [...] }, oldest first
#	$r->answer(DOT => '451 4.3.0 later');
#	$r->end;
#
# A key of answers is the verb, or the verb and a text that its argument holds; GREETING and DOT are
# verbs too. A value is a reply, "close" (hang up without one) or "hang". One child serves one client at
# a time; it dies with the test.

use strict;
use warnings;
use IO::Socket::UNIX;
use POSIX qw(_exit);
use Socket qw(SOCK_STREAM);
use Storable qw(store retrieve);

sub new
{
	my ($class, $folder, %opt) = @_;
	my $self = bless { folder => $folder, origin => 'o.example', ext => [],
		answers => {}, %opt, owner => $$, log => "$folder/.mail.$$" }, $class;

	$self->begin;
	return $self;
}

sub begin
{
	my ($self) = @_;

	unlink "$self->{folder}/s";
	# The folder may be deeper than a socket address holds.
	opendir my $dh, $self->{folder} or die "$self->{folder}: $!";
	my $path = '/proc/self/fd/' . fileno($dh) . '/s';
	my $listen = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 50)
	    or die "$path: $!";
	chmod 0666, "$self->{folder}/s";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		syscall 157, 1, 9, 0, 0, 0; # PR_SET_PDEATHSIG, SIGKILL
		$SIG{PIPE} = 'IGNORE';
		while (my $c = $listen->accept) {
			$self->serve($c);
			close $c;
		}
		_exit(0);
	}
	$self->{pid} = $pid;
}

# Other answers from now on.
sub answer
{
	my ($self, %answers) = @_;

	$self->end;
	$self->{answers} = {%answers};
	$self->begin;
}

sub end
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;

	kill 'KILL', $pid;
	waitpid $pid, 0;
	unlink "$self->{folder}/s";
}

sub DESTROY { my ($self) = @_; local $?; $self->end if $$ == $self->{owner} }

sub mail { my ($self) = @_; my @m = -e $self->{log} ? @{ retrieve($self->{log}) } : (); return @m }
sub forget { unlink $_[0]{log} }

sub choose
{
	my ($self, $verb, $arg, $default) = @_;

	for my $key (sort { length $b <=> length $a } keys %{ $self->{answers} }) {
		my ($v, $text) = split / /, $key, 2;
		next unless $v eq $verb && (!defined $text || index($arg, $text) >= 0);
		return $self->{answers}{$key};
	}
	return $default;
}

# False: the session is over.
sub say
{
	my ($self, $c, $reply) = @_;

	return 0 if $reply eq 'close';
	sleep 1 while $reply eq 'hang';
	print {$c} "$reply\r\n";
	return $reply !~ /^421/;
}

sub ehlo
{
	my ($self) = @_;
	my @lines = ('local.example', "XANGARIUM origin=$self->{origin}", 'PIPELINING', '8BITMIME',
		'SMTPUTF8', 'DSN', 'ENHANCEDSTATUSCODES', @{ $self->{ext} });

	return join "\r\n", map { '250' . ($_ == $#lines ? ' ' : '-') . $lines[$_] } 0 .. $#lines;
}

sub serve
{
	my ($self, $c) = @_;
	my %tx = (commands => []);

	$c->autoflush(1);
	local $/ = "\r\n";
	$self->say($c, $self->choose('GREETING', '', '220 local.example ESMTP')) or return;
	while (defined(my $line = <$c>)) {
		chomp $line;
		push @{ $tx{commands} }, $line;
		my ($verb, $arg) = $line =~ /^(\w+)\s*(.*)$/ or return;
		my $default = $verb eq 'EHLO' ? $self->ehlo : $verb eq 'QUIT' ? '221 2.0.0 bye'
		    : $verb eq 'DATA' ? (@{ $tx{rcpt} // [] } ? '354 go' : '503 5.5.1 no') : '250 2.0.0 ok';
		my $reply = $self->choose($verb, $arg, $default);

		%tx = (commands => $tx{commands}) if $verb eq 'RSET';
		$tx{from} = $1 if $verb eq 'MAIL' && $arg =~ /^FROM:<(.*?)>(?: |$)/;
		push @{ $tx{rcpt} }, $1 if $verb eq 'RCPT' && $reply =~ /^2/ && $arg =~ /^TO:<(.*?)>(?: |$)/;
		$self->say($c, $reply) or return;
		return if $verb eq 'QUIT';
		if ($reply =~ /^354/) {
			$self->data($c, \%tx) or return;
			%tx = (commands => []);
		}
	}
}

sub data
{
	my ($self, $c, $tx) = @_;
	my $data = '';
	my $reply = $self->choose('DOT', '', '250 2.0.0 Queued as 0123456789BCD');

	while (defined(my $line = <$c>)) {
		if ($line eq ".\r\n") {
			my @all = $self->mail;
			push @all, { %$tx, data => $data };
			store(\@all, $self->{log}) if $reply =~ /^2/;
			return $self->say($c, $reply);
		}
		$line =~ s/^\.//;
		$data .= $line;
	}
	return 0;
}

1;
