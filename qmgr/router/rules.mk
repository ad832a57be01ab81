# SPDX-License-Identifier: ISC
LIBS += qmgr/router
qmgr/router_SRCS := answer.c decide.c names.c
qmgr/router_DEPS := libcommon/ipc libcommon/conf libcommon/priv libcommon/smtp libcommon/io libcommon/base
PROGS += qmgr/router/router
qmgr/router/router_SRCS := main.c
qmgr/router/router_DEPS := qmgr/router
TESTS += qmgr/router
MAN += qmgr/router/router.8
