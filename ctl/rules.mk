# SPDX-License-Identifier: ISC
# What sendmail and its other names share. Needs libc, nothing else: each library more is felt at each call.
LIBS += ctl
ctl_SRCS := queue_print.c sendmail_options.c submit_drop.c submit_link.c submit_message.c submit_phrase.c \
	submit_report.c submit_rest.c submit_smtp.c submit_text.c
ctl_DEPS := libcommon/ipc/client libcommon/mail libcommon/smtp libcommon/base
PROGS += ctl/sendmail
ctl/sendmail_SRCS := sendmail.c sendmail_caller.c sendmail_queue.c sendmail_submit.c sendmail_talk.c
ctl/sendmail_DEPS := ctl
ctl/sendmail_SMALL := yes
TESTS += ctl
MAN += ctl/sendmail.8 ctl/mailq.1 ctl/newaliases.1

# A program of its own: it reads the configuration and writes a database.
PROGS += ctl/newaliases
ctl/newaliases_SRCS := newaliases.c
ctl/newaliases_DEPS := libcommon/conf libcommon/table libcommon/smtp libcommon/base
MAN += libcommon/table/aliases.5

# The operator's command.
PROGS += ctl/angctl
ctl/angctl_SRCS := angctl.c angctl_config.c angctl_print.c angctl_service.c angctl_spool.c
ctl/angctl_DEPS := libcommon/ipc/client libcommon/conf libcommon/spool libcommon/base
ctl/angctl_LDLIBS := -ljansson
MAN += ctl/angctl.8
