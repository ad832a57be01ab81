# SPDX-License-Identifier: ISC
LIBS += libcommon/priv
libcommon/priv_SRCS := calls.c ids.c landlock.c notify.c priv.c probe.c probe_acts.c profiles.c sandbox.c
libcommon/priv_DEPS := libcommon/base
libcommon/priv_LDLIBS := -lseccomp
TESTS += libcommon/priv
