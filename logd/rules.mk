# SPDX-License-Identifier: ISC
LIBS += logd
logd_SRCS := events.c follow.c http.c lineup.c mailline.c maillog.c metrics.c outputs.c sink.c sysout.c trace.c
logd_DEPS := libcommon/ipc libcommon/conf libcommon/priv libcommon/io libcommon/base
logd_LDLIBS := -lmicrohttpd
PROGS += logd/logd
logd/logd_SRCS := main.c
logd/logd_DEPS := logd
TESTS += logd
MAN += logd/logd.8 logd/angarium-log.5 logd/angarium-mail-log.5 logd/angarium-metrics.5
