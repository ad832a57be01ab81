# SPDX-License-Identifier: ISC
LIBS += smtpd
smtpd_SRCS := client.c letter.c limits.c line.c parent.c pickup.c policy.c rates.c session.c tell.c tx.c verbs.c \
	worker.c
smtpd_SRCS += pickup_flow.c
smtpd_DEPS := libcommon/commit libcommon/ipc libcommon/priv libcommon/conf libcommon/spool \
	libcommon/mail libcommon/smtp libcommon/io libcommon/base
PROGS += smtpd/smtpd
smtpd/smtpd_SRCS := main.c
smtpd/smtpd_DEPS := smtpd
TESTS += smtpd
MAN += smtpd/smtpd.8
