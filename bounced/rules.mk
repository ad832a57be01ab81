# SPDX-License-Identifier: ISC
LIBS += bounced
bounced_SRCS := classify.c jobs.c letter.c rules.c
bounced_DEPS := libcommon/commit libcommon/bounce libcommon/ipc libcommon/conf libcommon/priv \
	libcommon/spool libcommon/mail libcommon/smtp libcommon/io libcommon/base
bounced_LDLIBS := -lpcre2-8 -lbsd
PROGS += bounced/bounced
bounced/bounced_SRCS := main.c
bounced/bounced_DEPS := bounced
TESTS += bounced
MAN += bounced/bounced.8 bounced/bounce.rules.5
