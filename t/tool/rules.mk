# SPDX-License-Identifier: ISC
# Load generator and sink of the end-to-end tests, the bench and the demonstration.
PROGS += t/tool/smtpsource
t/tool/smtpsource_SRCS := smtpsource.c sourceopt.c net.c
t/tool/smtpsource_DEPS := libcommon/base

PROGS += t/tool/smtpsink
t/tool/smtpsink_SRCS := smtpsink.c sinkrule.c net.c
t/tool/smtpsink_DEPS := libcommon/base

# Calls a command many times: the bench of sendmail.
PROGS += t/tool/callmany
t/tool/callmany_SRCS := callmany.c net.c
t/tool/callmany_DEPS := libcommon/base

# Plays the corpus of addresses against smtp/path.h.
PROGS += t/tool/adapter_address
t/tool/adapter_address_SRCS := adapter_address.c
t/tool/adapter_address_DEPS := libcommon/smtp

# Writes angarium.conf(5) from the table of keys: etc/rules.mk runs it.
PROGS += t/tool/confman
t/tool/confman_SRCS := confman.c
t/tool/confman_DEPS := libcommon/conf

# A process of the house that has fallen: mutated frames on every edge.
PROGS += t/tool/evilpeer
t/tool/evilpeer_SRCS := evilpeer.c evilframe.c net.c
t/tool/evilpeer_DEPS := libcommon/spool libcommon/ipc/client libcommon/base

# Plays the corpora of replies against the rules of bounced.
PROGS += t/tool/adapter_reply
t/tool/adapter_reply_SRCS := adapter_reply.c
t/tool/adapter_reply_DEPS := bounced
PROGS += t/tool/adapter_dsn
t/tool/adapter_dsn_SRCS := adapter_dsn.c
t/tool/adapter_dsn_DEPS := bounced

# Plays the corpus of header fields against the readers of mail/.
PROGS += t/tool/adapter_header
t/tool/adapter_header_SRCS := adapter_header.c
t/tool/adapter_header_DEPS := libcommon/mail
