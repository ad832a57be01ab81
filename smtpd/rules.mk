# SPDX-License-Identifier: ISC
LIBS += smtpd
smtpd_SRCS := client.c intake.c letter.c limits.c line.c parent.c pickup.c policy.c session.c tx.c verbs.c \
	worker.c writer.c
smtpd_DEPS := libcommon/ipc libcommon/priv libcommon/conf libcommon/spool \
	libcommon/mail libcommon/smtp libcommon/io libcommon/base
PROGS += smtpd/smtpd
smtpd/smtpd_SRCS := main.c
smtpd/smtpd_DEPS := smtpd
TESTS += smtpd
MAN += smtpd/smtpd.8
