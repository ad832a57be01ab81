# SPDX-License-Identifier: ISC
LIBS += libcommon/ipc
libcommon/ipc_SRCS := brood.c ctl.c job.c loglink.c peer.c route.c
libcommon/ipc_DEPS := libcommon/ipc/client libcommon/io libcommon/base
libcommon/ipc_LDLIBS := -lcrypto
# What commands need too, without loop and libraries.
LIBS += libcommon/ipc/client
libcommon/ipc/client_SRCS := ctl_client.c msg.c
libcommon/ipc/client_DEPS := libcommon/base
TESTS += libcommon/ipc
