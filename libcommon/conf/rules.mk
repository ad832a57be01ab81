# SPDX-License-Identifier: ISC
LIBS += libcommon/conf
libcommon/conf_SRCS := conf.c eval.c generation.c origin.c parse.c scope.c strip.c titles.c value.c
libcommon/conf_DEPS := libcommon/base
libcommon/conf_LDLIBS := -lconfuse
TESTS += libcommon/conf
