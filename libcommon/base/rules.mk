# SPDX-License-Identifier: ISC
LIBS += libcommon/base
libcommon/base_SRCS := addr.c arena.c buf.c clock.c die.c gcra.c id.c json.c log.c metrics.c place.c service.c slice.c
libcommon/base_GLIBC_SRCS := log.c
libcommon/base_DEPS :=
libcommon/base_LDLIBS := -lbsd
TESTS += libcommon/base
