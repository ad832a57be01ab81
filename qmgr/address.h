/* SPDX-License-Identifier: ISC */
#ifndef QMGR_ADDRESS_H
#define QMGR_ADDRESS_H

#include "qmgr/qmgr.h"
#include "spool/envelope.h"

/*
 * Addresses are not kept in memory: they are read from the record's envelope when someone asks. The
 * last envelope read stays, with the place in it, so that asking for recipients in order is one
 * walk.
 */
struct address_cache {
	uint64_t id;
	struct buf bytes;
	struct record record;
	struct envelope envelope;
	struct envelope_iter at;
	struct envelope_rcpt rcpt;     /* the last one taken; number UINT32_MAX: none yet */
	struct envelope_rcpt expanded; /* one that an expansion made */
	/* The journal record that held the last reply asked for, and how far its entries have been walked. */
	struct journal_place reply_at;
	struct buf reply_bytes;
	struct journal_rec reply;
	struct slice entries;
	uint32_t entry; /* number of the next one in entries */
};

struct address_cache *address_cache_new(void);
void address_cache_free(struct address_cache *c);

/* The message's envelope, or NULL when it cannot be read (damage). Lives until the next call. */
const struct envelope *address_envelope(struct qmgr *q, const struct message *m);
const struct record *address_record(struct qmgr *q, const struct message *m);
/* One recipient of it. */
const struct envelope_rcpt *address_rcpt(struct qmgr *q, const struct message *m, uint32_t rcpt);
/*
 * The last reply (code, enh, host, reply of *out), from the journal record that holds it; valid
 * until the next call. False: there is none, or it is not written yet.
 */
bool reply_read(struct qmgr *q, struct message *m, unsigned rcpt, struct journal_rcpt *out);
/* When the attempt ended whose reply was read last, wall clock; 0: not known. */
uint64_t reply_wall_ms(struct qmgr *q);
/* As text, "host said: 450 4.2.2 text" where a host said it; appended. False: as above. */
bool reply_text(struct qmgr *q, struct message *m, unsigned rcpt, struct buf *out);

#endif
