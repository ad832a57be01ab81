# SPDX-License-Identifier: ISC
LIBS += deliver/local
deliver/local_SRCS := child.c errands.c letter.c mailbox.c maildir.c mbox.c user.c
deliver/local_DEPS := deliver libcommon/table libcommon/ipc libcommon/spool libcommon/conf libcommon/priv libcommon/io libcommon/base
PROGS += deliver/local/local
deliver/local/local_SRCS := main.c
deliver/local/local_DEPS := deliver/local
TESTS += deliver/local
MAN += deliver/local/local.8
