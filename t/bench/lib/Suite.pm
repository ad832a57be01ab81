# SPDX-License-Identifier: ISC
package Suite;

# A mail server under load, ours or another's, all set up in the same form: it listens on {port}, relays
# everything to a sink of its own, and its processes are counted by {measure}.
#
#	my $s = Suite->start('postfix', sessions => 100, hold => 1, disk => '/mnt/ext4');
#	$s->{port}; $s->{measure}; $s->end;
#
# Durability is what each ships with. Words: sessions, how many the load will open; hold, what is accepted
# stays in the queue; disk, a folder for the queue alone (logs stay where they are); name; for ours also config,
# extra (see House.pm) and env.

use strict;
use warnings;
use File::Path qw(make_path remove_tree);
use House qw(wait_for free_ports slurp spew build_dir bin_dir);
use IO::Socket::IP;
use Measure;
use Peers;

my %start = (none => \&_none, ours => \&_ours, postfix => \&_postfix, exim => \&_exim, opensmtpd => \&_opensmtpd);
my $POSTFIX_ID = 61900; # the users of peers.sh follow it
my $started = 0;

sub start
{
	my ($class, $kind, %opt) = @_;
	my $self = bless { kind => $kind, name => $opt{name} // $kind, bin => bin_dir(), opt => \%opt, owner => $$, runs => {},
		state => build_dir() . '/t/bench.' . $$ . '.' . ++$started }, $class;

	$start{$kind} or die "bench: no suite '$kind'; there are: @{[ sort keys %start ]}\n";
	$opt{sessions} //= 100;
	remove_tree($self->{state});
	make_path($self->{state});
	$self->{queue} = $opt{disk} ? "$opt{disk}/$self->{name}" : $self->{state};
	make_path($self->{queue});
	chmod 0755, $self->{state}, $self->{queue};
	$self->{measure} = Measure->new("$self->{name}.$started");
	$self->_sink;
	$start{$kind}->($self, %opt);
	return $self;
}

sub _sink
{
	my ($self) = @_;
	my ($port, $sink) = free_ports(2);

	@$self{qw(port sink times)} = ($port, $sink, "$self->{state}/times");
	my @quick = ('-Q') x ($self->{kind} eq 'opensmtpd'); # it sends in small parts, and waits for each
	$self->{sink_pid} = Supervisor::spawn([ "$self->{bin}/smtpsink", @quick, '-T', $self->{times}, "0.0.0.0:$sink" ], "$self->{state}/sink.err");
	wait_for(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $sink, Timeout => 2) }, 'the sink');
	open $self->{times_fh}, '<', $self->{times} or die "$self->{times}: $!";
}

# No server: the load goes to the sink itself, and what is counted are source and sink.
sub _none
{
	my ($self) = @_;

	$self->{port} = $self->{sink};
	$self->{measure}->take($self->{sink_pid});
}

sub _ours
{
	my ($self, %opt) = @_;
	my $house = $self->{house} = House->new(name => $self->{name}, state => "$self->{state}/house", extra => $opt{extra} // '',
		port => { mx => $self->{port}, sink => $self->{sink} }, env => $opt{env} // {},
		config => { $opt{disk} ? (spool_dir => "$self->{queue}/queue") : (), %{ $opt{config} // {} } });

	$self->{measure}->within(sub { $house->start });
	$self->hold if $opt{hold};
}

# What is accepted stays, until release.
sub hold { my ($self) = @_; $self->_angctl('queue', 'suspend', '*') }
sub release { my ($self) = @_; $self->_angctl('queue', 'resume', '*') }

sub _angctl
{
	my ($self, @words) = @_;
	my ($status, $out, $err) = $self->{house}->angctl(@words);

	$status == 0 or die "bench: angctl @words: $err";
	return $out;
}

# service => us since the last call, workers with their parent.
sub by_service
{
	my ($self) = @_;
	my %now = $self->{measure}->cpu_each;
	my %sum;

	for my $process ($self->{house}->processes) {
		my ($name, $pid) = @$process;
		$name =~ s{/.*}{};
		$sum{$name} += ($now{$pid} // 0) - ($self->{before}{$pid} // 0);
	}
	$self->{before} = \%now;
	return %sum;
}

sub _postfix
{
	my ($self, %opt) = @_;
	my $conns = $opt{sessions} + 50;
	my $dir = "$self->{state}/postfix";
	my %hold = $opt{hold} ? (smtpd_client_restrictions => 'check_client_access static:HOLD') : ();
	my %disk = $opt{disk} ? (queue_directory => "$self->{queue}/queue") : ();

	make_path("$self->{queue}/queue");
	$self->{measure}->within(sub {
		$self->{peer} = Peers->postfix(dir => $dir, port => $self->{port}, relay => "[127.0.0.1]:$self->{sink}",
			main => { default_process_limit => $conns, in_flow_delay => 0, default_destination_concurrency_limit => 50,
				initial_destination_concurrency => 20, smtpd_client_connection_count_limit => 0, %hold, %disk });
	});
	$self->{places} = [ '-e', "$dir/etc", '-b', "$dir:/mnt" ];
}

sub _exim
{
	my ($self, %opt) = @_;
	my $dir = "$self->{state}/exim";
	my $conns = $opt{sessions} + 50;
	my $hold = $opt{hold} ? "queue_only\n" : '';

	make_path("$dir/etc/exim4", "$dir/log", "$self->{queue}/spool");
	chmod 0755, $dir;
	chown $POSTFIX_ID + 2, $POSTFIX_ID + 2, "$self->{queue}/spool", "$dir/log";
	spew("$dir/etc/exim4/exim4.conf", <<"CONF");
primary_hostname = exim.test.example
daemon_smtp_ports = $self->{port}
local_interfaces = 127.0.0.1
spool_directory = $self->{queue}/spool
log_file_path = /mnt/log/%slog
pid_file_path = /mnt/exim.pid
keep_environment =
tls_advertise_hosts =
smtp_accept_max = $conns
smtp_connect_backlog = $conns
smtp_accept_queue_per_connection = 0
split_spool_directory
no_message_logs
${hold}acl_smtp_rcpt = rcpt
begin acl
rcpt:
	accept
begin routers
on:
	driver = manualroute
	transport = out
	route_list = * 127.0.0.1
	self = send
begin transports
out:
	driver = smtp
	port = $self->{sink}
	hosts_try_fastopen =
CONF
	$self->{places} = [ '-e', "$dir/etc", '-b', "$dir:/mnt" ];
	$self->{measure}->within(sub {
		$self->{peer} = Peers->server(dir => $dir, port => $self->{port}, places => [ '-e', "$dir/etc" ], argv => [ 'exim4', '-bdf' ]);
	});
}

sub _opensmtpd
{
	my ($self, %opt) = @_;
	my $dir = "$self->{state}/opensmtpd";
	my @places = ('-e', "$dir/etc", (map { ('-t', $_) } qw(/run /var/lib)), '-b', "$self->{queue}:/var/spool");
	my $make = 'mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd /var/empty; chmod 711 /var/spool/smtpd';

	make_path("$dir/etc");
	# It asks for the name of each client: nobody answers here, and says so at once.
	spew("$dir/etc/resolv.conf", "nameserver 127.0.0.1\nlookup file\n");
	spew("$dir/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
	my $mta = join '', map { "mta limit $_\n" } 'max-conn-per-host 50', 'max-conn-per-route 50', 'conn-delay-host 0',
	    'conn-delay-route 0', 'conn-delay-source 0', 'conn-delay-connector 0', 'conn-delay-domain 0', 'reconn-delay-route 0',
	    'session-mail-max 1000', 'session-keepalive 0';
	spew("$dir/smtpd.conf", <<"CONF");
smtp limit max-mails 1000000
scheduler limit max-inflight 20000
${mta}listen on 127.0.0.1 port $self->{port} hostname opensmtpd.test.example
action "on" relay host smtp://127.0.0.1:$self->{sink}
match from any for any action "on"
CONF
	$self->{backlog} = 4; # it listens with 5
	# Without a syslog daemon its own log, as it ships, is what -d prints.
	$self->{measure}->within(sub {
		$self->{peer} = Peers->server(dir => $dir, port => $self->{port}, places => \@places,
			argv => [ 'sh', '-c', "$make; exec smtpd -d -f /mnt/smtpd.conf" ]);
	});
	$self->{peer}{places} = [ @places, '-b', "$dir:/mnt" ];
	$self->_opensmtpd_hold if $opt{hold};
}

# Its control socket is in a name space that ends with it.
sub _opensmtpd_hold
{
	my ($self) = @_;
	my ($status, $out, $err) = House::run('nsenter', '-t', $self->{peer}->master, '-m', '-p', 'setpriv', '--regid=opensmtpq', '--clear-groups',
	    'smtpctl', 'pause', 'mta');

	$status == 0 or die "bench: smtpctl pause mta: $out$err";
}

# What runs a command that calls the sendmail command, its last words: (environment, words).
sub around_sendmail
{
	my ($self, @caller) = @_;

	return ($self->{house}->sendmail_env, @caller, "$self->{bin}/sendmail") if $self->{house};
	return ({ PEERS => Peers::dir() }, Peers::enter(@{ $self->{places} }, @caller, '/usr/sbin/sendmail'))
	    if $self->{kind} eq 'postfix' || $self->{kind} eq 'exim';
	die "bench: no sendmail command of $self->{kind} is known\n";
}

sub end
{
	my ($self) = @_;

	return if $self->{owner} != $$ || $self->{ended}++;
	$self->{peer}->end if $self->{peer};
	$self->{house}->end if $self->{house};
	kill 'TERM', $self->{sink_pid} and waitpid $self->{sink_pid}, 0 if $self->{sink_pid};
	$self->{measure}->end;
	remove_tree($self->{state}, $self->{opt}{disk} ? $self->{queue} : ()) unless $ENV{KEEP};
}

sub DESTROY { my ($self) = @_; local ($?, $@); $self->end }

1;
