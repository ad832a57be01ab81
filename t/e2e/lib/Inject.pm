# SPDX-License-Identifier: ISC
package Inject;

# System calls that fail in a service that runs: strace is attached to it and lets them.
#
#	my $i = Inject->new($house, 'qmgr', call => 'fdatasync', error => 'EIO', when => '1+', paths => [...]);
#	...
#	$i->end;      # how many it has let fail
#
# Only calls on those files fail: sockets and what wakes threads are spared. `when` is strace's: 1 the first
# such call of each thread, 1+ all of them.

use strict;
use warnings;
use House qw(wait_for slurp);
use POSIX qw(WNOHANG);

sub strace
{
	my ($out, %opt) = @_;

	return ('strace', '-f', '-o', $out, '-e', "trace=$opt{call}", '-e', "inject=$opt{call}:error=$opt{error}:when=$opt{when}",
		map { ('-P', $_) } @{ $opt{paths} // [] });
}

sub new
{
	my ($class, $house, $pid, %opt) = @_;
	my $out = "$house->{state}/strace.out";

	unlink $out, "$house->{state}/strace.err";
	my $self = bless { out => $out, pid => Supervisor::spawn([ strace($out, %opt), '-p', $pid ], "$house->{state}/strace.err") }, $class;
	wait_for(sub { (slurp("$house->{state}/strace.err") // '') =~ /attached/ }, 'strace to attach');
	return $self;
}

sub end
{
	my ($self) = @_;

	kill 'INT', $self->{pid};
	waitpid $self->{pid}, 0;
	return count($self->{out});
}

sub count { my ($out) = @_; my $n = () = (slurp($out) // '') =~ /\(INJECTED\)/g; return $n }

# Every name that the spool has, and those it will have next, as qmgr says them and as they are.
sub spool_paths
{
	my ($queue, @kinds) = @_;
	my %name = (seg => [ 'data/%010u.seg', 'data' ], journal => [ 'state/journal.%010u', 'state' ], large => [ 'large/%010u', 'large' ]);
	my @all;

	for my $kind (@kinds) {
		my ($form, $folder) = @{ $name{$kind} // [ undef, $kind ] };
		push @all, $folder, "$queue/$folder";
		next unless defined $form;
		my @there = sort { $a <=> $b } map { /(\d+)(?:\.seg)?$/ ? int $1 : () } glob "$queue/$folder/*";
		push @all, map { my $f = sprintf $form, $_; ($f, "$queue/$f") } @there, map { ($there[-1] // 0) + $_ } 1 .. 30;
	}
	return \@all;
}

1;
