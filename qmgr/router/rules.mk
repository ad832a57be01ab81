# SPDX-License-Identifier: ISC
LIBS += qmgr/router
qmgr/router_SRCS := accounts.c answer.c decide.c expand.c route_table.c tables.c
qmgr/router_DEPS := libcommon/table libcommon/ipc libcommon/conf libcommon/priv libcommon/smtp libcommon/io libcommon/base
qmgr/router_LDLIBS := -lxxhash -lbsd
PROGS += qmgr/router/router
qmgr/router/router_SRCS := main.c
qmgr/router/router_DEPS := qmgr/router
TESTS += qmgr/router
MAN += qmgr/router/router.8
