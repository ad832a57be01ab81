/* SPDX-License-Identifier: ISC */
#ifndef IPC_BROOD_H
#define IPC_BROOD_H

#include "ipc/peer.h"

/*
 * A parent and its workers (smtpd, deliver). The parent forks them, connects their links and passes
 * the connected descriptors, again after each end; it never reads from those. A worker that dies is
 * started again (at once, then with pauses growing to 5 s while it keeps dying within 10 s).
 */
struct brood;

struct brood_ops {
	/* In the child, after fork, with its end of the pair; all the parent's other state must be
	 * let go of: only the descriptors in keep stay open. Does not return. */
	void (*worker)(unsigned number, uint8_t class, int pair_fd, void *arg);
	void (*up)(unsigned number, uint64_t instance, void *arg);		/* may be NULL */
	void (*gone)(unsigned number, uint64_t instance, void *arg);		/* may be NULL */
	void (*answer)(unsigned number, const struct msg_answer *m, void *arg); /* may be NULL */
};

/* uid_of: the user that a service must run as (SO_PEERCRED of what we connect). */
/* A worker to be kept alive. Numbers from 1, each once. */
struct brood *brood_new(struct loop *l, const struct brood_ops *ops,
    uid_t (*uid_of)(enum service s, void *arg), void *arg);
void brood_add(struct brood *b, unsigned number, uint8_t class);
/* Descriptors that workers keep besides their pair and 0-2 (listening sockets); call before
 * brood_add(). */
void brood_keep(struct brood *b, const int *fds, unsigned n);
/* CONFIG to each; also to later ones */
void brood_config(struct brood *b, uint32_t generation, int fd);
unsigned brood_ask(struct brood *b, const struct msg_ask *m); /* ASK to each; how many were up */
/* FINISH to each; done() when all have ended (those that overstay grace + 2 s are killed). */
void brood_finish(struct brood *b, uint32_t grace_ms, void (*done)(void *arg), void *arg);
unsigned brood_pids(const struct brood *b, pid_t *out, unsigned max);

/* The worker's side: opens the pair, serves LINK and CONFIG and FINISH, asks for links that are
 * supplied. */
struct nest_ops {
	void (*config)(uint32_t generation, int fd, void *arg); /* owns fd */
	void (*finish)(uint32_t grace_ms, void *arg);	 /* also when the parent died: grace 0 */
	void (*ask)(const struct msg_ask *m, void *arg); /* answer with nest_answer() */
};
void nest_open(struct loop *l, int pair_fd, const struct nest_ops *ops, void *arg);
/* registers a link made by peer_supplied(): it is asked for at once */
void nest_link(struct peer *supplied);
void nest_answer(uint64_t token, struct slice json);

#endif
