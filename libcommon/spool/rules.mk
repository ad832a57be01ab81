# SPDX-License-Identifier: ISC
LIBS += libcommon/spool
libcommon/spool_SRCS := check.c content.c envelope.c journal.c journal_file.c large.c lease.c record.c \
	scan.c segment.c spool.c tally.c
libcommon/spool_DEPS := libcommon/base
libcommon/spool_LDLIBS := -lxxhash
TESTS += libcommon/spool
MAN += libcommon/spool/spool.5
