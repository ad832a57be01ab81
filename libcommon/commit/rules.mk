# SPDX-License-Identifier: ISC
LIBS += libcommon/commit
libcommon/commit_SRCS := intake.c stream.c writer.c
libcommon/commit_DEPS := libcommon/ipc libcommon/spool libcommon/io libcommon/base
TESTS += libcommon/commit
