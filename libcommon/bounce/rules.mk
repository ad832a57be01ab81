# SPDX-License-Identifier: ISC
LIBS += libcommon/bounce
libcommon/bounce_SRCS := notice.c
libcommon/bounce_DEPS := libcommon/base
TESTS += libcommon/bounce
