# SPDX-License-Identifier: ISC
LIBS += libcommon/smtp
libcommon/smtp_SRCS := body.c chars.c command.c ehlo.c ext.c param.c path.c path_literal.c reply.c replies.c xtext.c
libcommon/smtp_DEPS := libcommon/base
TESTS += libcommon/smtp
