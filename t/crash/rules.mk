# SPDX-License-Identifier: ISC
# The power-cut harness: see crash-block.pl.
t/crash_CFLAGS := -isystem /usr/include/fuse3

PROGS += t/crash/recorder
t/crash/recorder_SRCS := recorder.c blockfs.c
t/crash/recorder_DEPS := libcommon/base
t/crash/recorder_LDLIBS := -lfuse3

PROGS += t/crash/replay
t/crash/replay_SRCS := replay.c blockfs.c
t/crash/replay_DEPS := libcommon/base
t/crash/replay_LDLIBS := -lfuse3

PROGS += t/crash/crashtoy
t/crash/crashtoy_SRCS := toy.c
t/crash/crashtoy_DEPS := libcommon/base

PROGS += t/crash/spoolids
t/crash/spoolids_SRCS := spoolids.c
t/crash/spoolids_DEPS := libcommon/spool libcommon/base
