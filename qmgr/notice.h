/* SPDX-License-Identifier: ISC */
#ifndef QMGR_NOTICE_H
#define QMGR_NOTICE_H

#include "bounce/notice.h"
#include "qmgr/qmgr.h"
#include "qmgr/schedule.h"

/*
 * What senders are owed (QUEUE.md rule 18). The truth is the `owed` bits of recipients, which the
 * journal holds; here is only who waits to be told to bounced, and who has been and is not settled
 * yet. A notice is asked for when its failure is durable, after a short wait for other recipients
 * of the same message that are on their way, and again whenever no answer came: the filing of a
 * notice settles what it names, and a second one is dropped. With bounced away all of it waits.
 */
enum {
	NOTICES_ENTRIES_MAX = 4096, /* messages remembered here; the others are found by walking */
	NOTICES_SENT_MAX = 64,	    /* asked for and not filed */
	NOTICES_WAIT_MS = 1000,	    /* for other recipients */
	NOTICES_ANSWER_MS = 60000,
	NOTICES_RETRY_MAX_MS = 600000,
};

struct notices;
struct notices *notices_new(void);
void notices_free(struct notices *all);
/* For tests: instead of the link. */
void notices_set_send(
    struct qmgr *q, void (*send)(struct qmgr *q, const struct msg_notice *m, int fd));

/* What is owed when a recipient ends so: bits of enum spool_notice. dsn: the next hop tells itself. */
uint8_t notice_for_failure(struct qmgr *q, struct message *m, unsigned rcpt);
uint8_t notice_for_success(struct message *m, unsigned rcpt, bool dsn);
/* Tick at which the delay of this queued recipient is to be told; UINT32_MAX: never (again). */
uint32_t notice_delay_tick(
    const struct qmgr *q, const struct message *m, const struct recipient *r);
/* It is that tick. */
void notice_delayed(struct qmgr *q, struct message *m, unsigned rcpt);

/*
 * This notice was filed: it sets out when that is durable. A crash before may file another one in
 * its place, and of two that speak of the same failure only one may be delivered.
 */
void notice_filed(struct qmgr *q, const struct message *m);

/* Something of this message is owed (again); called by state.c and when it is armed. */
void notice_owed(struct qmgr *q, const struct message *m);
/* Something of it was settled. */
void notice_settled(struct qmgr *q, uint64_t id, uint8_t kind);

/* An attempt that no notice speaks of (yet): to be classed. Dropped while bounced is away or slow. */
void notice_reply(struct qmgr *q, const struct message *m, unsigned rcpt, enum notice_action action,
    const struct attempt_end *end);

void notice_linked(struct qmgr *q, struct peer *p);
void notice_unlinked(struct qmgr *q, const struct peer *p);
bool notice_put_off(struct qmgr *q, const struct msg_notice_later *m);

void notices_run(struct qmgr *q);
uint64_t notices_next_ms(const struct qmgr *q); /* until notices_run() has something to do */
struct notices_state {
	uint64_t waiting, sent;
	uint64_t unheard; /* replies that bounced was not told of: it was away, or slow */
};
void notices_look(const struct qmgr *q, struct notices_state *out);

#endif
