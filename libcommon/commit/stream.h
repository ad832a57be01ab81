/* SPDX-License-Identifier: ISC */
#ifndef COMMIT_STREAM_H
#define COMMIT_STREAM_H

#include "commit/writer.h"
#include "spool/large.h"

/*
 * Large bodies on their way into files of their own (spool/large.h), in pieces: the loop fills one
 * while a thread writes another, so that a body of any size costs its session STREAM_PIECE_BYTES
 * twice. The body is synced before its record may be written (QUEUE.md rule 10); what fails, once,
 * is given up (rule 8), and its file is never used again.
 */
enum {
	STREAM_PIECE_BYTES = 128 << 10,
	STREAM_SYNC_BYTES = 8 << 20, /* synced on the way, so that the end is short */
	STREAM_OPEN_MAX = 128,	     /* of one worker, at a time */
};

/* want and drop speak to qmgr: false while the link is down. */
struct streams_ops {
	bool (*want)(void *arg, unsigned count);
	bool (*drop)(void *arg, uint32_t large);
	void (*submit)(void *arg, struct job *j); /* to threads that the writer does not wait for */
};

struct streams;
struct streams *streams_new(const struct writer_io *io, const struct streams_ops *ops, void *arg);
/* No job may be under way (offload_free() sees to that), and no letter may have a stream. */
void streams_free(struct streams *st);

/* What qmgr says. Each returns false where the message is none that qmgr may send now. */
bool streams_given(struct streams *st, const struct msg_large *m, int fd); /* takes fd if true */
bool streams_dropped(struct streams *st, const struct msg_large_dropped *m);
void streams_refused(struct streams *st); /* none can be had now: asked again by streams_tick() */
void streams_up(struct streams *st);
void streams_down(struct streams *st);
void streams_tick(struct streams *st); /* once a second */

/*
 * Begins one with the spare file; NULL: there is none, and one is asked for. ready() is called from
 * the loop whenever a piece is written, and at the end. floor_bytes: of our configuration.
 */
struct stream *stream_open(
    struct streams *st, uint64_t floor_bytes, void (*ready)(void *arg), void *arg);
/* Copies the bytes. They may be as many as there are; who heeds stream_is_full() brings few. */
void stream_put(struct stream *s, struct slice bytes);
bool stream_is_full(const struct stream *s);
/* That was all: what is left is written, and all of it synced. */
void stream_finish(struct stream *s);
bool stream_is_finished(const struct stream *s); /* durable, or failed */
int stream_error(const struct stream *s);	 /* 0, or a negative errno */
uint64_t stream_bytes(const struct stream *s);
/* What the record says of it; finished without an error. */
struct record_large stream_large(const struct stream *s);

/* The record that refers to it is durable: qmgr has it now. */
void stream_settle(struct stream *s);
/* No record will refer to it: given up. NULL allowed; any time. */
void stream_free(struct stream *s);

struct streams_state {
	unsigned open, spare, drops;
	uint64_t written, failures;
};
void streams_look(const struct streams *st, struct streams_state *out);

#endif
