# SPDX-License-Identifier: ISC
LIBS += libcommon/io
libcommon/io_SRCS := conn.c listen.c loop.c offload.c
libcommon/io_DEPS := libcommon/base
libcommon/io_LDLIBS := -levent_core
TESTS += libcommon/io
