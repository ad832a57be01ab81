# SPDX-License-Identifier: ISC
LIBS += libcommon/mail
libcommon/mail_SRCS := address_list.c content_type.c date.c date_read.c dropfile.c dsn.c dsn_read.c encoded.c header.c msgid.c received.c received_read.c
libcommon/mail_DEPS := libcommon/smtp libcommon/base
TESTS += libcommon/mail
