# SPDX-License-Identifier: ISC
LIBS += deliver
deliver_SRCS := content.c job.c parent.c pool.c segments.c session.c transaction.c verdict.c worker.c
deliver_SRCS += feed.c
deliver_DEPS := libcommon/ipc libcommon/spool libcommon/smtp libcommon/conf libcommon/priv libcommon/io libcommon/base
PROGS += deliver/deliver
deliver/deliver_SRCS := main.c
deliver/deliver_DEPS := deliver
TESTS += deliver
MAN += deliver/deliver.8
