# SPDX-License-Identifier: ISC
LIBS += libcommon/table
libcommon/table_SRCS := users.c
libcommon/table_DEPS := libcommon/base
TESTS += libcommon/table
