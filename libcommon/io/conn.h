/* SPDX-License-Identifier: ISC */
#ifndef IO_CONN_H
#define IO_CONN_H

#include "base/addr.h"
#include "base/buf.h"
#include "io/loop.h"

#include <sys/uio.h>

/*
 * A stream connection with buffers and a deadline. Input is read into memory that all connections
 * share; only what a callback leaves unread is kept, so an idle connection holds no buffer. What is
 * put out goes at the turn's end, in one write.
 */
struct conn;

struct conn_ops {
	void (*connected)(struct conn *c, void *arg); /* conn_connect() only */
	void (*input)(struct conn *c, void *arg); /* there are bytes that were not offered before */
	/* 0: the peer's orderly end; else errno. Then conn_free(). */
	void (*closed)(struct conn *c, int err, void *arg);
	void (*expired)(struct conn *c, void *arg); /* the deadline passed (it is unset then) */
	/* may be NULL: all that was put out is with the kernel; from the loop */
	void (*drained)(struct conn *c, void *arg);
};

/* Takes over fd (non-blocking). */
struct conn *conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *arg);
/* Connects; `from` may be NULL. NULL with errno when it fails at once; else connected() or closed()
 * follow. */
/* Closes at once; allowed in any callback. */
struct conn *conn_connect(struct loop *l, const struct addr *to, const struct addr *from,
    const struct conn_ops *ops, void *arg);
/* The same to a Unix stream socket at this path. */
struct conn *conn_connect_path(
    struct loop *l, struct slice path, const struct conn_ops *ops, void *arg);
void conn_free(struct conn *c);
/* Closes when all that was put out is sent, or after 5 s (at once where it is not yet connected);
 * no callback comes any more. */
void conn_finish(struct conn *c);
int conn_fd(const struct conn *c);

/* What has come and was not taken; valid until the callback returns (outside of one: until the
 * caller returns to the loop). Bytes may be taken at any time, not in callbacks only. */
struct slice conn_in(const struct conn *c);
void conn_take(struct conn *c, size_t n);
/* Stops reading (back-pressure) or goes on; unread bytes are offered again when reading goes on. */
void conn_pause(struct conn *c, bool pause);

enum conn_line { LINE_PARTIAL, LINE_OK, LINE_TOO_LONG, LINE_BARE };
/*
 * One line off the front, strictly ended by CR LF, given without it. `max` counts the CR LF.
 * LINE_TOO_LONG: max bytes stand there without an end; they are taken and the rest of the line will
 * be skipped by later calls. LINE_BARE: a CR or LF alone stands in the next line, which is taken.
 */
enum conn_line conn_line(struct conn *c, size_t max, struct slice *line);

void conn_put(struct conn *c, const void *p, size_t n);
struct buf *conn_out(struct conn *c); /* to print into; marks the connection for the turn's end */
/* Large content: tries to write now (after what waits); what the kernel does not take is copied. */
void conn_putv(struct conn *c, const struct iovec *v, int n);
size_t conn_pending(const struct conn *c); /* bytes not yet with the kernel */
/* What is put out waits, since more belongs to it that is not known yet; or goes on. conn_finish()
 * sends it all. */
void conn_hold(struct conn *c, bool hold);
void conn_flush(struct conn *c); /* now instead of at the turn's end */

/* from now; 0: none. Cheap: may be set for each line. */
void conn_deadline(struct conn *c, uint64_t ms);

#endif
