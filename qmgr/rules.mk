# SPDX-License-Identifier: ISC
LIBS += qmgr
qmgr_SRCS := address.c bucket.c bucket_idle.c bucket_line.c bucket_list.c clean.c compact.c control.c control_hosts.c control_limits.c control_queues.c damage.c dispatch.c dispatch_job.c \
	dispatch_worker.c expand.c expanded.c from_deliver.c from_dnscache.c from_router.c from_smtpd.c hold.c hosts.c intake.c journal.c large.c list.c message.c notice.c notice_make.c operate.c qclock.c rcpt.c \
	qmgr.c queue.c queue_policy.c recover.c resolve.c resolve_hosts.c retry.c schedule.c segments.c segtab.c site.c state.c suspend.c why.c \
	state_message.c state_spool.c wheel.c
qmgr_DEPS := libcommon/bounce libcommon/dns libcommon/spool libcommon/ipc libcommon/conf libcommon/priv libcommon/io libcommon/base
qmgr_LDLIBS := -lxxhash -lbsd
PROGS += qmgr/qmgr
qmgr/qmgr_SRCS := main.c
qmgr/qmgr_DEPS := qmgr
TESTS += qmgr
MAN += qmgr/qmgr.8
