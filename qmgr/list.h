/* SPDX-License-Identifier: ISC */
#ifndef QMGR_LIST_H
#define QMGR_LIST_H

#include "qmgr/qmgr.h"

/*
 * Which messages a command means, and how they are shown. Words of a filter: an id alone, or
 * id=, state=, domain=, sender=, recipient=; all that are given must hold.
 */
struct filter {
	uint64_t id; /* 0: any */
	char *state, *domain, *sender, *recipient;
	bool failed; /* those that are only owed a notice, else those that are queued */
};

/* A word of a filter. False: it is none; *wrong is set where it looks like one and cannot be. */
bool filter_word(struct filter *f, struct slice word, bool *wrong);
bool filter_is_empty(const struct filter *f);
bool filter_matches(struct qmgr *q, const struct filter *f, struct message *m);
void filter_fini(struct filter *f);

/* active, deferred, hold; failed for what is only owed a notice. */
const char *message_word(struct qmgr *q, struct message *m);

/* One JSON object a line; with `all` its recipients that are done, attempts, times and queue too. */
void message_json(struct qmgr *q, struct message *m, bool all, struct buf *out);
/* Lines M and R, as mailq wants them (ctl/queue_print.h). */
void message_mailq(struct qmgr *q, struct message *m, struct buf *out);

#endif
