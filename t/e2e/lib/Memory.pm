# SPDX-License-Identifier: ISC
package Memory;

# What a piece of work costs in memory, in each process of a house, in the children they make meanwhile
# and in the commands of this build that the test itself runs: the peak of the resident set since the
# begin (VmHWM), less what the process had then.
#
#	my $m = Memory->begin($house);
#	...                              # work; no service may be restarted
#	my %cost = $m->end;              # name => { grown => bytes, peak => bytes }, the largest of each name

use strict;
use warnings;
use POSIX qw(_exit);
use Time::HiRes qw(sleep);
use House qw(slurp spew);

sub _field { my ($pid, $name) = @_; return (slurp("/proc/$pid/status") // '') =~ /^\Q$name\E:\s+(\d+)/m ? $1 * 1024 : undef }
sub _children { return map { split ' ', slurp($_) // '' } glob "/proc/$_[0]/task/[0-9]*/children" }

sub begin
{
	my ($class, $house) = @_;
	my $self = bless { file => "$house->{state}/memory", known => {} }, $class;

	for my $p ($house->processes) {
		my ($name, $pid) = @$p;

		# Lets the peak begin anew, see proc(5).
		open my $fh, '>', "/proc/$pid/clear_refs" or next;
		print $fh "5\n";
		close $fh or next;
		$self->{known}{$pid} = { name => $name, had => _field($pid, 'VmRSS') // next };
	}
	pipe my $r, my $w or die "pipe: $!";
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0) {
		close $r;
		$self->_watch($w, getppid);
	}
	close $w;
	readline $r; # it watches
	return $self;
}

# New children come and go: they are looked at again and again, and a peak does not fall.
sub _watch
{
	my ($self, $ready, $test) = @_;
	my ($over, %seen) = (0);

	$SIG{TERM} = sub { $over = 1 };
	print $ready "yes\n";
	close $ready;
	until ($over || getppid != $test) {
		for my $parent ($test, keys %{ $self->{known} }) {
			for my $pid (_children($parent)) {
				next if $self->{known}{$pid} || $pid == $$;
				my $name = $self->{known}{$parent} ? "$self->{known}{$parent}{name}'s child" : $self->_command($pid) // next;
				my $peak = _field($pid, 'VmHWM') // next;
				$seen{$name} = $peak if $peak > ($seen{$name} // 0);
			}
		}
		sleep 0.004;
	}
	spew($self->{file}, join '', map { "$seen{$_} $_\n" } keys %seen);
	_exit(0);
}

# Of this build, and no tool of a test.
sub _command
{
	my ($self, $pid) = @_;
	my $exe = readlink("/proc/$pid/exe") // return undef;

	my ($name) = $exe =~ m{^\Q${\House::bin_dir()}\E/(sendmail|angctl|newaliases)$};
	return $name;
}

sub end
{
	my ($self) = @_;
	my %cost;

	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	for my $pid (keys %{ $self->{known} }) {
		my $p = $self->{known}{$pid};
		my $peak = _field($pid, 'VmHWM') // next;

		$cost{ $p->{name} } = { grown => $peak - $p->{had}, peak => $peak };
	}
	# A new process has all of its memory for this work.
	/^(\d+) (.*)/ and $cost{$2} = { grown => $1, peak => $1 } for split /\n/, slurp($self->{file}) // '';
	return %cost;
}

1;
