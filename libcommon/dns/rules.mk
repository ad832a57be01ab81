# SPDX-License-Identifier: ISC
LIBS += libcommon/dns
libcommon/dns_SRCS := dns.c dnsq.c mx.c
libcommon/dns_DEPS := libcommon/ipc libcommon/io libcommon/base
TESTS += libcommon/dns
