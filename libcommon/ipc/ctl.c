/* SPDX-License-Identifier: ISC */
#include "ipc/ctl.h"

#include "base/die.h"
#include "base/log.h"
#include "io/listen.h"
#include "ipc/peer.h"

#include <bsd/sys/queue.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Half of the calls are for those who look after the house, so that users cannot lock them out. */
enum {
	CALLS_MAX = 64,
	CALLS_OF_OTHERS = 32,
	CALLS_OF_USER = 8,
	CHUNK = 32 * 1024,
	PACKETS_AT_ONCE = 16
};

struct ctl_call {
	TAILQ_ENTRY(ctl_call) next;
	struct ctl_server *server;
	int fd;
	struct watch *watch;
	uid_t uid;
	pid_t pid;
	bool admin, greeted, running, ended, gone;
	uint64_t token;
	struct buf out;
	struct buf end; /* the CTL_END frame, once ctl_end() was called */
	void (*more)(struct ctl_call *, void *);
	void *state;
	void (*free_state)(void *);
	struct deferred pump;
};

struct ctl_server {
	struct loop *loop;
	const struct ctl_verb *verbs;
	gid_t admin_gid;
	void *arg;
	struct listener *listener;
	uint64_t last_token;
	unsigned ncalls;
	TAILQ_HEAD(, ctl_call) calls;
};

static void pump(void *arg);

static void
drop_state(struct ctl_call *c)
{
	if (c->free_state != NULL)
		c->free_state(c->state);
	c->more = NULL;
	c->free_state = NULL;
	c->state = NULL;
}

static void
call_free(struct ctl_call *c)
{
	drop_state(c);
	TAILQ_REMOVE(&c->server->calls, c, next);
	c->server->ncalls--;
	watch_free(c->watch);
	close(c->fd);
	buf_fini(&c->out);
	buf_fini(&c->end);
	free(c);
}

/* Calls end from the loop only, so that a verb may go on after ctl_end() without care. */
static void
hang_up(struct ctl_call *c)
{
	c->gone = true;
	watch_want(c->watch, 0);
	loop_defer(c->server->loop, &c->pump);
}

static bool
send_out(struct ctl_call *c)
{
	struct buf frame = { 0 };
	bool ok = true;

	for (int i = 0; i < PACKETS_AT_ONCE && c->out.n > 0 && ok; i++) {
		size_t n = c->out.n < CHUNK ? c->out.n : CHUNK;

		buf_reset(&frame);
		msg_ctl_out_put(&frame, &(struct msg_ctl_out){ .data = slice_of(c->out.p, n) });
		ok = send(c->fd, frame.p, frame.n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
		if (ok)
			buf_drop(&c->out, n);
	}
	buf_fini(&frame);
	return ok;
}

static bool
try_again(void)
{
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
}

static void
pump(void *arg)
{
	struct ctl_call *c = arg;

	if (c->gone) {
		call_free(c);
		return;
	}
	if (!send_out(c)) {
		if (!try_again())
			hang_up(c);
		else
			watch_want(c->watch, WATCH_READ | WATCH_WRITE);
		return;
	}
	watch_want(c->watch, WATCH_READ);
	if (c->out.n > 0) {
		loop_defer(c->server->loop, &c->pump);
		return;
	}
	if (c->more != NULL && !c->ended) {
		c->more(c, c->state);
		loop_defer(c->server->loop, &c->pump);
		return;
	}
	if (!c->ended)
		return;
	if (send(c->fd, c->end.p, c->end.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (!try_again())
			hang_up(c);
		else
			watch_want(c->watch, WATCH_READ | WATCH_WRITE);
		return;
	}
	/* The caller may say its next verb over the same socket. */
	drop_state(c);
	c->ended = c->running = false;
}

struct buf *
ctl_out(struct ctl_call *c)
{
	loop_defer(c->server->loop, &c->pump);
	return &c->out;
}

void
ctl_more(struct ctl_call *c, void (*more)(struct ctl_call *, void *), void *state,
    void (*free_state)(void *))
{
	/* A step that hands its own state on keeps it. */
	if (state != c->state)
		drop_state(c);
	c->more = more;
	c->state = state;
	if (free_state != NULL)
		c->free_state = free_state;
	loop_defer(c->server->loop, &c->pump);
}

void
ctl_end(struct ctl_call *c, int status, const char *text)
{
	if (c->ended)
		return;
	c->ended = true;
	buf_reset(&c->end);
	msg_ctl_end_put(
	    &c->end, &(struct msg_ctl_end){ .status = (uint16_t)status, .text = slice_z(text) });
	loop_defer(c->server->loop, &c->pump);
}

static void
log_call(const struct ctl_call *c, const struct msg_ctl *m, bool refused)
{
	struct slice args = m->args, word;

	log_begin(LOG_CONTROL);
	log_str(LOGK_VERB, m->verb);
	log_u64(LOGK_UID, c->uid);
	log_u64(LOGK_PID, (uint64_t)c->pid);
	if (ctl_word(&args, &word))
		log_str(LOGK_DETAIL, word);
	if (refused)
		log_z(LOGK_REASON, "not allowed");
	log_end();
}

static void
run_verb(struct ctl_call *c, const struct msg_ctl *m)
{
	const struct ctl_verb *v = c->server->verbs;

	while (v->verb != NULL && !slice_is(m->verb, v->verb))
		v++;
	c->running = true;
	c->token = ++c->server->last_token;
	if (v->verb == NULL) {
		ctl_end(c, EXIT_USAGE, "no such verb here");
		return;
	}
	if (v->right == CTL_ADMIN && !c->admin) {
		log_call(c, m, true);
		ctl_end(c, EXIT_NOPERM, "not allowed: for root and the group " GROUP_ADM_NAME);
		return;
	}
	if (!v->quiet)
		log_call(c, m, false);
	v->run(c, m->args);
}

static bool
heard(struct ctl_call *c, const struct msg_frame *f)
{
	struct msg_hello h;
	struct msg_ctl m;

	if (!c->greeted) {
		c->greeted = f->type == MSG_HELLO && msg_hello_get(f->payload, &h) &&
			     h.version_max >= IPC_VERSION_MIN && h.version_min <= IPC_VERSION_MAX;
		return c->greeted;
	}
	if (f->type != MSG_CTL || c->running || !msg_ctl_get(f->payload, &m))
		return false;
	if (m.args.n > 0 && m.args.p[m.args.n - 1] != '\0')
		return false;
	run_verb(c, &m);
	return true;
}

static void
on_call(int fd, int ready, void *arg)
{
	static char in[IPC_PACKET_MAX];
	struct ctl_call *c = arg;
	struct slice packet;
	struct msg_frame f;
	ssize_t n;

	if (ready & WATCH_WRITE)
		loop_defer(c->server->loop, &c->pump);
	if (!(ready & WATCH_READ))
		return;
	n = recv(fd, in, sizeof in, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(c);
		return;
	}
	packet = slice_of(in, (size_t)n);
	while (packet.n > 0)
		if (!msg_frame_next(&packet, &f) || !heard(c, &f)) {
			hang_up(c);
			return;
		}
}

/* root, or the admin group among the caller's groups as the kernel knows them. */
static bool
admin(int fd, const struct ucred *cred, gid_t gid)
{
	gid_t groups[256];
	socklen_t n = sizeof groups;

	if (cred->uid == 0 || cred->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0)
		return false;
	for (size_t i = 0; i < n / sizeof *groups; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static bool
has_room(const struct ctl_server *s, uid_t uid, bool is_admin)
{
	const struct ctl_call *c;
	unsigned others = 0, of_user = 0;

	TAILQ_FOREACH(c, &s->calls, next)
	{
		others += !c->admin;
		of_user += c->uid == uid;
	}
	return s->ncalls < CALLS_MAX &&
	       (is_admin || (others < CALLS_OF_OTHERS && of_user < CALLS_OF_USER));
}

static void
on_accept(int fd, const struct addr *from, void *arg)
{
	struct ctl_server *s = arg;
	struct ucred cred;
	socklen_t n = sizeof cred;
	struct ctl_call *c;
	bool is_admin;

	(void)from;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0) {
		close(fd);
		return;
	}
	is_admin = admin(fd, &cred, s->admin_gid);
	if (!has_room(s, cred.uid, is_admin)) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof *c);
	*c = (struct ctl_call){
		.server = s, .fd = fd, .uid = cred.uid, .pid = cred.pid, .admin = is_admin
	};
	c->pump = (struct deferred){ .fn = pump, .arg = c };
	c->watch = watch_new(s->loop, fd, on_call, c);
	watch_want(c->watch, WATCH_READ);
	TAILQ_INSERT_TAIL(&s->calls, c, next);
	s->ncalls++;
}

struct ctl_server *
ctl_serve(struct loop *l, int fd, const struct ctl_verb *verbs, gid_t admin_gid, void *arg)
{
	struct ctl_server *s = xcalloc(1, sizeof *s);

	*s = (struct ctl_server){ .loop = l, .verbs = verbs, .admin_gid = admin_gid, .arg = arg };
	TAILQ_INIT(&s->calls);
	s->listener = listen_new(l, fd, on_accept, s);
	return s;
}

void
ctl_server_free(struct ctl_server *s)
{
	struct ctl_call *c, *next;

	if (s == NULL)
		return;
	for (c = TAILQ_FIRST(&s->calls); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		call_free(c);
	}
	listen_free(s->listener);
	free(s);
}

void *
ctl_arg(const struct ctl_call *c)
{
	return c->server->arg;
}

uid_t
ctl_uid(const struct ctl_call *c)
{
	return c->uid;
}

bool
ctl_is_admin(const struct ctl_call *c)
{
	return c->admin;
}

bool
ctl_word(struct slice *args, struct slice *word)
{
	ptrdiff_t end = slice_find(*args, '\0');

	if (end < 0)
		return false;
	*word = slice_head(*args, (size_t)end);
	*args = slice_from(*args, (size_t)end + 1);
	return true;
}

uint64_t
ctl_token(const struct ctl_call *c)
{
	return c->token;
}

struct ctl_call *
ctl_by_token(struct ctl_server *s, uint64_t token)
{
	struct ctl_call *c;

	TAILQ_FOREACH(c, &s->calls, next)
	if (c->token == token && c->running && !c->ended && !c->gone)
		return c;
	return NULL;
}
