# SPDX-License-Identifier: ISC
LIBS += dnscache
dnscache_SRCS := answer.c askers.c cache.c control.c known.c resolver.c upstream.c warm.c
dnscache_DEPS := libcommon/dns libcommon/ipc libcommon/conf libcommon/priv libcommon/io libcommon/base
dnscache_LDLIBS := -lcares -ltdb -lxxhash -lbsd
PROGS += dnscache/dnscache
dnscache/dnscache_SRCS := main.c
dnscache/dnscache_DEPS := dnscache
TESTS += dnscache
MAN += dnscache/dnscache.8
