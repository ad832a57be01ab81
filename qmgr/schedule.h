/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SCHEDULE_H
#define QMGR_SCHEDULE_H

#include "qmgr/qmgr.h"

/*
 * What a recipient's attempt came to, and when it is tried again: results become journal records
 * and events here, whoever brings them.
 */
struct attempt_end {
	uint8_t kind; /* enum outcome_kind */
	uint16_t code;
	uint8_t enh[3];
	uint8_t phase; /* enum delivery_phase */
	struct slice text, host;
	struct slice addr; /* 16 bytes or empty */
	uint16_t port;
	uint32_t conn_use;
	uint64_t sent_ms; /* wall, when its job was handed out; 0: not known */
	uint32_t connect_ms;
	bool dsn; /* the next hop tells the sender of success itself */
};

/* The message may be gone afterwards. attempt: the one that ended, or a new one where it never started. */
void schedule_result(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt,
    const struct attempt_end *end);
/* Its worker died (rule 17): a short pause, then alone, then held. suspicion: deaths so far, this one included. */
void schedule_interrupted(
    struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt, uint8_t suspicion);
/* Dropped by a rule, with its text. */
void schedule_dropped(struct qmgr *q, struct message *m, unsigned rcpt, struct slice text);

/* After a suspicion of 2 a message is tried with no other; of 3 it is held. */
enum { SUSPECT_ALONE = 2, SUSPECT_HELD = 3, INTERRUPTED_PAUSE_MS = 5000, SLICE_RCPTS = 256 };

/* Timers that went off, queues whose pause is over. */
void schedule_run(struct qmgr *q);
/* Milliseconds until schedule_run() has something to do; UINT64_MAX: nothing is set. */
uint64_t schedule_next_ms(struct qmgr *q);

/* The queue's host cannot be reached: the whole queue waits, none of its messages is touched. */
void schedule_down(struct qmgr *q, struct queue *queue, struct slice reason);
void schedule_up(struct qmgr *q, struct queue *queue);
/* The queue waits until then, for another reason (enum queue_wait); its retries are not counted on. */
void schedule_pause(struct qmgr *q, struct queue *queue, uint64_t until_ms, enum queue_wait why,
    struct slice reason);

#endif
