# SPDX-License-Identifier: ISC
# What depth costs in qmgr, by itself: see its head.
PROGS += t/bench/queuedepth
t/bench/queuedepth_SRCS := queuedepth.c stage.c
t/bench/queuedepth_DEPS := qmgr
