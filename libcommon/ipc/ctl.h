/* SPDX-License-Identifier: ISC */
#ifndef IPC_CTL_H
#define IPC_CTL_H

#include "io/loop.h"
#include "ipc/msg.h"

#include <sys/types.h>

/*
 * A service's control socket, run/ctl/NAME. A verb is a row; who may say it is decided by
 * SO_PEERCRED and logged (event control), except rows marked quiet. Answers are lines, mostly JSON,
 * one object a line. Users who are no admins have 8 calls each and 32 in all, of 64.
 */
struct ctl_call; /* one verb being served; lives until ctl_end() or the caller hangs up */

enum ctl_right {
	CTL_ADMIN, /* root and group _angadm */
	CTL_ANYONE,
};

struct ctl_verb {
	const char *verb;
	enum ctl_right right;
	bool quiet; /* reads only: not logged */
	/* args: words each ended by NUL; may end later */
	void (*run)(struct ctl_call *c, struct slice args);
	const char *help;
};

struct ctl_server;
/* verbs: ended by a row with verb NULL. */
struct ctl_server *ctl_serve(
    struct loop *l, int fd, const struct ctl_verb *verbs, gid_t admin_gid, void *arg);
void ctl_server_free(struct ctl_server *s);

void *ctl_arg(const struct ctl_call *c);
uid_t ctl_uid(const struct ctl_call *c);
bool ctl_is_admin(const struct ctl_call *c);
bool ctl_word(struct slice *args, struct slice *word); /* next word of args */

/* Output: written into this, sent in packets at the turn's end. */
struct buf *ctl_out(struct ctl_call *c);
/* Long answers: after writing some 32 KiB, return and be called again when they are gone. The state
 * is freed with free_state when the call ends, whoever ends it, or another state takes its place; a
 * step may hand on its own state (free_state NULL: as before). */
void ctl_more(struct ctl_call *c, void (*more)(struct ctl_call *c, void *state), void *state,
    void (*free_state)(void *));
void ctl_end(struct ctl_call *c, int status, const char *text); /* status 0: text may be NULL */
/* Is the caller still there, with this verb? For work that went to a thread: keep the token, not
 * the call. */
uint64_t ctl_token(const struct ctl_call *c);
struct ctl_call *ctl_by_token(struct ctl_server *s, uint64_t token); /* NULL: hung up, or ended */

#endif
