# SPDX-License-Identifier: ISC
package Scenarios;

# What is measured. A row: help; begin, which gives the turns, each { name, run => sub { metrics } }, that are
# taken one after the other, round by round; gates, what must hold of the medians:
# [ name, sub { ($median) = @_ ... value }, '>=' or '<=', limit, unit ], undef where it cannot be told; full: only
# where it is named. $c (the context) has start(kind, %words of Suite.pm), n(messages, at the scale asked for),
# disk(gib), once(name, value, unit) for what has no rounds, opt.

use strict;
use warnings;
use Accepting;
use Depth;
use Profile;
use Relaying;

our %UNIT = (
	rate => 'messages/s', accepted_rate => 'messages/s', cpu => 'us/message', p50 => 'ms, of the 250', p99 => 'ms, of the 250',
	through50 => 'ms, end to end', through99 => 'ms, end to end', syncs => 'syncs/message', disk => 'bytes/message at the disk',
	calls => 'calls/s', call_cpu => 'us/call', call50 => 'ms', call99 => 'ms', failed => 'calls', cpu_qmgr => 'us/message',
	session => 'KiB/session', held => 'sessions',
);

our %ROW = (%Relaying::ROW, %Accepting::ROW, %Depth::ROW, %Profile::ROW);

1;
