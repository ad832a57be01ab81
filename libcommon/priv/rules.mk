# SPDX-License-Identifier: ISC
LIBS += libcommon/priv
libcommon/priv_SRCS := calls.c daemon.c daemon_fds.c daemon_folders.c daemon_load.c daemon_probe.c ids.c \
	landlock.c notify.c priv.c probe.c probe_acts.c profiles.c sandbox.c sanitizer.c
libcommon/priv_DEPS := libcommon/conf libcommon/base
libcommon/priv_LDLIBS := -lseccomp -lbsd
TESTS += libcommon/priv
