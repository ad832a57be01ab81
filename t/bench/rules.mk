# SPDX-License-Identifier: ISC
# What depth costs in qmgr, by itself: see its head.
PROGS += t/bench/queuedepth
t/bench/queuedepth_SRCS := queuedepth.c stage.c
t/bench/queuedepth_DEPS := qmgr

PROGS += t/bench/queueday
t/bench/queueday_SRCS := queueday.c stage.c
t/bench/queueday_DEPS := qmgr
