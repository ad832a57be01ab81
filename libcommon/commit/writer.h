/* SPDX-License-Identifier: ISC */
#ifndef COMMIT_WRITER_H
#define COMMIT_WRITER_H

#include "io/offload.h"
#include "ipc/msg.h"
#include "commit/intake.h"

#include <sys/uio.h>

/*
 * The one hand of a worker that writes into the queue: appends letters to the segment it holds a
 * lease for, makes them durable in groups, and tells qmgr how far. QUEUE.md rules 6 and 8 to 12 are
 * kept here, for the writer's side.
 *
 * A 250 needs a struct commit_token, nobody but writer.c can make one, and it makes one only after
 * a sync that returned 0.
 */
struct writer;

/* The system calls, so that a test can let each of them fail. Return values as the calls', with
 * errno. */
struct writer_io {
	ssize_t (*writev)(int fd, const struct iovec *iov, int n);
	int (*fdatasync)(int fd);
	int (*free_bytes)(int fd, uint64_t *bytes);
	int (*close)(int fd);
};
extern const struct writer_io writer_io_system;

/* Its surroundings. want, ring and seal speak to qmgr: false while the link is down. */
struct writer_ops {
	bool (*want)(void *arg, unsigned count);
	bool (*ring)(void *arg, uint32_t segment, uint64_t durable);
	bool (*seal)(void *arg, uint32_t segment, uint64_t end);
	void (*submit)(
	    void *arg, struct job *j); /* run it in a thread, then call done from the loop */
	void (*leased)(void *arg);     /* may be NULL: there is a segment to write to */
	void (*durable)(void *arg,
	    const struct letter *l); /* may be NULL: before l->done, also where that is NULL */
};

struct writer *writer_new(const struct writer_io *io, const struct writer_ops *ops, void *arg);
/* No batch may be under way (offload_free() sees to that). Letters that wait are freed without an
 * answer. */
void writer_free(struct writer *w);

/* What qmgr says. Each returns false where the message is none that qmgr may send now. */
bool writer_lease(
    struct writer *w, const struct msg_lease *m, int fd, uint8_t class); /* takes fd if true */
bool writer_filed(struct writer *w, const struct msg_filed *m);
bool writer_sealed(struct writer *w, const struct msg_sealed *m);
/* No segment can be made now. Ask again with writer_up() in m->retry_ms. */
void writer_refused(struct writer *w);
/* The link stands (again): says all that qmgr may not know, then asks for what is missing. */
void writer_up(struct writer *w);
void writer_down(struct writer *w);
/* Once a second: repeats what has not been acknowledged. */
void writer_tick(struct writer *w);

enum writer_room { WRITER_ROOM, WRITER_NO_LEASE, WRITER_NO_SPACE };
/*
 * May a message of so many bytes be begun? Asks the file system at most once a second. floor_bytes:
 * of our configuration; the greater of it and the lease's holds.
 */
enum writer_room writer_room(struct writer *w, uint64_t bytes, uint64_t floor_bytes);

/*
 * The next queue id, 0 when there is no lease to take it from. It names the segment, so the letter
 * is to be submitted in the same breath.
 */
uint64_t writer_next_id(struct writer *w, uint64_t wall_ms);

/*
 * Takes a finished letter, whose id is set. l->done is called later, from the loop, unless it is
 * NULL by then. The batch is begun by writer_turn(), to be called at the end of each loop turn: so
 * one group has all that became ready in the turn.
 */
void writer_submit(struct writer *w, struct letter *l);
void writer_turn(struct writer *w);

struct writer_state {
	uint32_t segment; /* 0: none */
	uint64_t end;
	unsigned leases, seals_open, waiting;
	uint64_t batches, records, failures;
};
void writer_look(const struct writer *w, struct writer_state *out);

#endif
