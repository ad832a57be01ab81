/* SPDX-License-Identifier: ISC */
#ifndef IPC_PEER_H
#define IPC_PEER_H

#include "io/loop.h"
#include "ipc/msg.h"

#include <sys/types.h>

/*
 * A link to another process: SOCK_SEQPACKET, HELLO both ways first. What is put in a turn goes out
 * as one packet at its end; what the socket does not take waits in memory (peer_backlog() tells how
 * much: whoever puts without being asked looks at it). A peer that breaks the grammar or sends what
 * the table does not allow it is cut off and logged.
 */
struct peer;

struct ipc_in {
	uint16_t type; /* enum msg_type */
	struct slice payload;
	int fd; /* the descriptor that came with it; set to -1 by who takes it, else closed */
};

struct peer_ops {
	/* A message after HELLO. False: malformed or not expected here; the peer is cut off. */
	bool (*in)(struct peer *p, const struct msg_row *row, struct ipc_in *in);
	void (*up)(struct peer *p); /* HELLO was heard: peer_hello() */
	/* The link is gone. Accepted peers are freed after this returns; others come up again by
	 * themselves. */
	void (*down)(struct peer *p);
};

/* Who we are on all our links; set once, before any link. */
void peer_self(enum service self, uint8_t role, uint16_t worker, uint8_t class);
void peer_self_generation(uint32_t generation);
uint64_t peer_self_instance(void);

/* Accepts links of `asker` on a listening descriptor; each must have uid `uid`. `arg` for each new
 * peer. */
struct peer_listener;
struct peer_listener *peer_listen(
    struct loop *l, int fd, enum service asker, uid_t uid, const struct peer_ops *ops, void *arg);
void peer_listener_free(struct peer_listener *pl);

/* Connects to edge/<server>.<self>/s below the working directory, again and again with growing
 * jittered pauses (20 ms to 2 s). The peer exists at once and is down until HELLO came. */
struct peer *peer_dial(
    struct loop *l, enum service server, uid_t uid, const struct peer_ops *ops, void *arg);

/* One try at that connection, for who hands it on: a descriptor, or -errno (-EPERM: wrong user
 * there). */
int peer_connect_edge(enum service server, uid_t uid);

/* A worker's link that its parent connects (ipc/brood.h): down until peer_give(). */
struct peer *peer_supplied(
    struct loop *l, enum service server, uid_t uid, const struct peer_ops *ops, void *arg);
void peer_give(struct peer *p, int fd); /* takes fd; closes the old one if there is any */
/* Called when a supplied link is needed (again). One for the process. */
void peer_on_want(void (*fn)(enum service server, void *arg), void *arg);

/* The two ends of a parent-worker pair: `other` is IPC_PARENT or IPC_WORKER, whoever is at the far
 * end. */
struct peer *peer_pair(
    struct loop *l, int fd, uint32_t other, const struct peer_ops *ops, void *arg);

bool peer_is_up(const struct peer *p);
const struct msg_hello *peer_hello(const struct peer *p);
/* whom the socket says it is, never what HELLO claims */
enum service peer_service(const struct peer *p);
uid_t peer_uid(const struct peer *p);
void *peer_arg(const struct peer *p);
void peer_set_arg(struct peer *p, void *arg); /* accepted peers: their own state */
size_t peer_backlog(const struct peer *p);

/* The buffer to msg_X_put() into; NULL while the link is down. Get it anew for each message. */
struct buf *peer_out(struct peer *p);
/* The same for what nobody waits for: it goes with what is put next, or by itself a little later, so
 * that a peer that has little to do is not woken for it. */
struct buf *peer_out_later(struct peer *p);
/* `frame` (one msg_X_put() of a row with a descriptor) goes in a packet of its own, with a copy of
 * fd. */
void peer_send_fd(struct peer *p, const struct buf *frame, int fd);
/*
 * For who is told much in small pieces and need not know at once: what peers say in the next `ms`
 * waits in their links and is heard together. A link that was silent for long is heard once all the
 * same; its next words wait.
 */
void peer_rest(struct loop *l, uint64_t ms);
/* Ends that, and calls in() for all that peers have said until now, up to 256 packets of each (more
 * come as usual). Not from a peer's callback. */
void peer_hear(struct loop *l);
/* Cuts the link: down() is called from the loop, not from here. `why` is logged unless NULL. */
void peer_drop(struct peer *p, const char *why);
void peer_free(struct peer *p); /* no callback; not from its own callbacks */

/* if (peer_send(p, doorbell, .segment = s, .durable = o)): false while down. */
#define peer_send(p, name, ...) peer_send_by(peer_out, p, name, __VA_ARGS__)
#define peer_send_later(p, name, ...) peer_send_by(peer_out_later, p, name, __VA_ARGS__)
#define peer_send_by(out, p, name, ...)                                                       \
	({                                                                                    \
		struct buf *peer_b_ = out(p);                                                 \
		if (peer_b_ != NULL)                                                          \
			msg_##name##_put(peer_b_, &(const struct msg_##name){ __VA_ARGS__ }); \
		peer_b_ != NULL;                                                              \
	})

/* In an `in` callback: return MSG_CALL(in, doorbell, on_doorbell, p); decodes, then calls
 * void on_doorbell(struct peer *, const struct msg_doorbell *). */
#define MSG_CALL(in, name, fn, p)                                        \
	({                                                               \
		struct msg_##name msg_m_;                                \
		bool msg_ok_ = msg_##name##_get((in)->payload, &msg_m_); \
		if (msg_ok_)                                             \
			fn(p, &msg_m_);                                  \
		msg_ok_;                                                 \
	})

/* Takes the descriptor of a message (the caller owns it); -1 when there is none. */
int ipc_take_fd(struct ipc_in *in);

#endif
