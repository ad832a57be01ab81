# SPDX-License-Identifier: ISC
LIBS += libcommon/table
libcommon/table_SRCS := alias.c table.c table_tdb.c table_text.c users.c
libcommon/table_DEPS := libcommon/base
libcommon/table_LDLIBS := -ltdb
TESTS += libcommon/table
