/* SPDX-License-Identifier: ISC */
#include "ipc/peer.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "io/listen.h"

#include <assert.h>
#include <bsd/stdlib.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKLOG_MAX = 64 * 1024 * 1024, /* a peer that does not read for so long is cut off */
	SPLIT = 32 * 1024,		/* a packet that has grown to this goes into the line */
	DIAL_FIRST_MS = 20,
	DIAL_LAST_MS = 2000,
	LATER_MS = 200,		 /* how long nobody's message waits */
	LATER_BYTES = 16 * 1024, /* no more of them */
	RESTS = 16,		 /* who was silent for so many is listened to all the same */
	HEAR_PACKETS = 256,
};

enum origin { BY_ACCEPT, BY_DIAL, BY_SUPPLY, BY_PAIR };

struct packet {
	STAILQ_ENTRY(packet) next;
	int fd;
	size_t n;
	char data[];
};

struct peer {
	TAILQ_ENTRY(peer) all, dirty, late;
	struct loop *loop;
	enum origin origin;
	enum service service;
	uint32_t from_bit; /* what the far end may send, in the table's terms */
	uint32_t self_bit; /* what we are on this link */
	uid_t uid;
	const struct peer_ops *ops;
	void *arg;
	int fd;
	struct watch *watch;
	struct timer *redial;
	struct timer *later; /* what waits in the batch goes when it rings */
	uint32_t pause_ms;
	unsigned silent; /* rests since it last said something */
	bool heard, is_dirty, is_late, in_call, freed, ended;
	bool rests; /* what it says waits until peer_hear() */
	struct deferred end;
	struct msg_hello hello;
	struct buf batch;
	STAILQ_HEAD(, packet) line;
	size_t backlog;
};

struct peer_listener {
	struct loop *loop;
	struct listener *listener;
	enum service asker;
	uid_t uid;
	const struct peer_ops *ops;
	void *arg;
};

static struct {
	enum service service;
	uint8_t role, class;
	uint16_t worker;
	uint32_t generation;
	uint64_t instance;
	TAILQ_HEAD(, peer) all, dirty, late;
	struct loop *loop;  /* whose turn's end flushes */
	struct timer *rest; /* set: some rest */
	void (*want)(enum service, void *);
	void *want_arg;
} self;

static char packet_in[IPC_PACKET_MAX];

void
peer_self(enum service service, uint8_t role, uint16_t worker, uint8_t class)
{
	self.service = service;
	self.role = role;
	self.worker = worker;
	self.class = class;
	self.instance = (uint64_t)arc4random() << 32 | arc4random();
	self.loop = NULL;
	TAILQ_INIT(&self.dirty);
}

void
peer_self_generation(uint32_t generation)
{
	self.generation = generation;
}

uint64_t
peer_self_instance(void)
{
	return self.instance;
}

static void flush_all(void *arg);
static void peer_end(void *arg);
static void dial_later(struct peer *p);

static struct peer *
peer_new(struct loop *l, enum origin origin, enum service service, uid_t uid,
    const struct peer_ops *ops, void *arg)
{
	struct peer *p = xcalloc(1, sizeof *p);

	if (self.loop != l) {
		self.loop = l;
		self.rest = NULL;
		TAILQ_INIT(&self.all);
		TAILQ_INIT(&self.dirty);
		TAILQ_INIT(&self.late);
		loop_at_turn_end(l, TURN_LINKS, flush_all, NULL);
	}
	*p = (struct peer){ .loop = l,
		.origin = origin,
		.service = service,
		.uid = uid,
		.ops = ops,
		.arg = arg,
		.fd = -1 };
	p->from_bit = service <= SERVICE_CTL ? IPC_BIT(service) : 0;
	p->self_bit = IPC_BIT(self.service);
	p->pause_ms = DIAL_FIRST_MS;
	p->end = (struct deferred){ .fn = peer_end, .arg = p };
	STAILQ_INIT(&p->line);
	TAILQ_INSERT_TAIL(&self.all, p, all);
	return p;
}

static void
mark_dirty(struct peer *p)
{
	if (p->is_dirty)
		return;
	p->is_dirty = true;
	TAILQ_INSERT_TAIL(&self.dirty, p, dirty);
}

static void
line_up(struct peer *p, const char *data, size_t n, int fd)
{
	struct packet *k = xmalloc(sizeof *k + n);

	k->fd = fd;
	k->n = n;
	memcpy(k->data, data, n);
	STAILQ_INSERT_TAIL(&p->line, k, next);
	p->backlog += n;
}

static void
line_up_batch(struct peer *p)
{
	if (p->batch.n == 0)
		return;
	line_up(p, p->batch.p, p->batch.n, -1);
	buf_reset(&p->batch);
}

static void
line_drop(struct peer *p)
{
	struct packet *k;

	while ((k = STAILQ_FIRST(&p->line)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->line, next);
		if (k->fd >= 0)
			close(k->fd);
		free(k);
	}
	p->backlog = 0;
	buf_fini(&p->batch);
}

static ssize_t
send_packet(int fd, const char *data, size_t n, int pass)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec v = { .iov_base = (void *)(uintptr_t)data, .iov_len = n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (pass >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof control.space;
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &pass, sizeof pass);
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* The batch may hold more than a packet: frames are counted out up to the limit. */
static size_t
packet_length(const struct buf *b, size_t at)
{
	size_t end = at;

	while (end < b->n) {
		uint32_t n;

		memcpy(&n, b->p + end + 4, 4);
		if (end > at && end + IPC_FRAME_HEAD + n - at > SPLIT)
			break;
		end += IPC_FRAME_HEAD + n;
	}
	return end - at;
}

static bool
flush_line(struct peer *p)
{
	struct packet *k;

	while ((k = STAILQ_FIRST(&p->line)) != NULL) {
		if (send_packet(p->fd, k->data, k->n, k->fd) < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS;
		}
		STAILQ_REMOVE_HEAD(&p->line, next);
		p->backlog -= k->n;
		if (k->fd >= 0)
			close(k->fd);
		free(k);
	}
	return true;
}

static bool
flush_batch(struct peer *p)
{
	size_t at = 0;

	while (at < p->batch.n) {
		size_t n = packet_length(&p->batch, at);

		if (STAILQ_EMPTY(&p->line) && send_packet(p->fd, p->batch.p + at, n, -1) >= 0) {
			at += n;
			continue;
		}
		if (STAILQ_EMPTY(&p->line) && errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
			return false;
		line_up(p, p->batch.p + at, n, -1);
		at += n;
	}
	if (p->batch.cap > SPLIT * 2)
		buf_fini(&p->batch);
	buf_reset(&p->batch);
	return true;
}

static void
not_late(struct peer *p)
{
	if (!p->is_late)
		return;
	p->is_late = false;
	TAILQ_REMOVE(&self.late, p, late);
	timer_stop(p->later);
}

static void
want(struct peer *p)
{
	watch_want(
	    p->watch, (p->rests ? 0 : WATCH_READ) | (STAILQ_EMPTY(&p->line) ? 0 : WATCH_WRITE));
}

static void
flush(struct peer *p)
{
	if (p->fd < 0 || p->ended)
		return;
	if (!flush_line(p) || !flush_batch(p)) {
		peer_drop(p, NULL);
		return;
	}
	if (p->backlog > BACKLOG_MAX)
		peer_drop(p, "does not read");
	else
		want(p);
	not_late(p);
}

static void
flush_all(void *arg)
{
	struct peer *p;

	(void)arg;
	/* There is no later for who ends. */
	while (loop_is_stopping(self.loop) && (p = TAILQ_FIRST(&self.late)) != NULL) {
		not_late(p);
		mark_dirty(p);
	}
	while ((p = TAILQ_FIRST(&self.dirty)) != NULL) {
		TAILQ_REMOVE(&self.dirty, p, dirty);
		p->is_dirty = false;
		flush(p);
	}
}

static void
close_link(struct peer *p)
{
	watch_free(p->watch);
	p->watch = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->rests = false;
	line_drop(p);
	not_late(p);
}

static void
destroy(struct peer *p)
{
	close_link(p);
	timer_free(p->redial);
	timer_free(p->later);
	if (p->is_dirty)
		TAILQ_REMOVE(&self.dirty, p, dirty);
	if (p->loop == self.loop)
		TAILQ_REMOVE(&self.all, p, all);
	if (p->loop == self.loop && TAILQ_EMPTY(&self.all)) {
		timer_free(self.rest);
		self.rest = NULL;
	}
	free(p);
}

/* Links of services are told by who asks; pairs have worker-lost. */
static void
tell(const struct peer *p, enum log_event event)
{
	if (p->origin != BY_DIAL && p->origin != BY_SUPPLY)
		return;
	log_begin(event);
	log_z(LOGK_PEER, service_word(p->service));
	log_u64(LOGK_PID, p->hello.pid);
	log_end();
}

/* Runs as deferred work, so that no caller sees its peer vanish. */
static void
peer_end(void *arg)
{
	struct peer *p = arg;
	bool was_up = p->heard;

	if (p->freed) {
		destroy(p);
		return;
	}
	if (!p->ended)
		return;
	close_link(p);
	p->heard = false;
	if (was_up)
		tell(p, LOG_PEER_DOWN);
	if (was_up && p->ops->down != NULL)
		p->ops->down(p);
	p->ended = false;
	switch (p->origin) {
	case BY_ACCEPT:
		destroy(p);
		break;
	case BY_DIAL:
		dial_later(p);
		break;
	case BY_SUPPLY:
		if (self.want != NULL)
			self.want(p->service, self.want_arg);
		break;
	case BY_PAIR:
		break;
	}
}

void
peer_drop(struct peer *p, const char *why)
{
	if (p->ended || p->fd < 0)
		return;
	if (why != NULL) {
		log_begin(LOG_PEER_BAD);
		log_z(LOGK_PEER, service_word(p->service));
		log_z(LOGK_REASON, why);
		log_u64(LOGK_PID, p->hello.pid);
		log_end();
	}
	p->ended = true;
	watch_want(p->watch, 0);
	loop_defer(p->loop, &p->end);
}

void
peer_free(struct peer *p)
{
	if (p == NULL || p->freed)
		return;
	p->freed = true;
	if (p->in_call || p->end.set) {
		if (p->watch != NULL)
			watch_want(p->watch, 0);
		loop_defer(p->loop, &p->end);
		return;
	}
	destroy(p);
}

static bool
heard_hello(struct peer *p, const struct ipc_in *in)
{
	struct msg_hello h;

	if (in->type != MSG_HELLO || !msg_hello_get(in->payload, &h)) {
		peer_drop(p, "no HELLO");
		return false;
	}
	if (h.version_max < IPC_VERSION_MIN || h.version_min > IPC_VERSION_MAX) {
		peer_drop(p, "edge versions do not overlap");
		return false;
	}
	if (p->from_bit != IPC_PARENT && p->from_bit != IPC_WORKER && p->service != SERVICE_CTL &&
	    h.service != p->service) {
		peer_drop(p, "claims to be another service");
		return false;
	}
	p->hello = h;
	p->heard = true;
	p->pause_ms = DIAL_FIRST_MS;
	tell(p, LOG_PEER_UP);
	if (p->ops->up != NULL)
		p->ops->up(p);
	return true;
}

static bool
message(struct peer *p, struct ipc_in *in)
{
	const struct msg_row *row = msg_row(in->type);

	if (!p->heard)
		return heard_hello(p, in);
	if (row == NULL || !(row->from & p->from_bit) || !(row->to & p->self_bit)) {
		/* A newer neighbour may say more than we know; what it must not do is pretend. */
		if (row == NULL && p->hello.version_max > IPC_VERSION_MAX)
			return true;
		peer_drop(p, row == NULL ? "unknown message" : "message not allowed to it");
		return false;
	}
	if (row->fd != (in->fd >= 0)) {
		peer_drop(p, row->fd ? "descriptor missing" : "descriptor not expected");
		return false;
	}
	if (!p->ops->in(p, row, in)) {
		peer_drop(p, "message malformed or not expected");
		return false;
	}
	return true;
}

static void
packet(struct peer *p, struct slice data, int fd)
{
	struct msg_frame f;
	struct ipc_in in;

	p->in_call = true;
	while (data.n > 0 && !p->ended && !p->freed) {
		if (!msg_frame_next(&data, &f)) {
			peer_drop(p, "packet malformed");
			break;
		}
		in = (struct ipc_in){ .type = f.type, .payload = f.payload, .fd = fd };
		if (!message(p, &in))
			break;
		fd = in.fd; /* a descriptor comes alone: a second frame in its packet is refused
			       with it */
	}
	if (fd >= 0)
		close(fd);
	p->in_call = false;
}

/* Descriptors beyond the first are closed and the peer is cut off. */
static int
taken_fd(struct msghdr *m, bool *bad)
{
	int first = -1, fd;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof fd <= c->cmsg_len - CMSG_LEN(0); at += sizeof fd) {
			memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
			if (first < 0)
				first = fd;
			else {
				close(fd);
				*bad = true;
			}
		}
	}
	if (m->msg_flags & (MSG_CTRUNC | MSG_TRUNC))
		*bad = true;
	return first;
}

static void
rest(struct peer *p)
{
	p->rests = true;
	want(p);
}

/* One packet. False: there is none, or the link is at its end. */
static bool
receive(struct peer *p)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec v = { .iov_base = packet_in, .iov_len = sizeof packet_in };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };
	bool bad = false;
	ssize_t n;
	int passed;

	n = recvmsg(p->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		peer_drop(p, NULL);
		return false;
	}
	passed = taken_fd(&m, &bad);
	if (bad) {
		if (passed >= 0)
			close(passed);
		peer_drop(p, "descriptors beyond the one allowed, or packet too long");
		return false;
	}
	p->silent = 0;
	packet(p, slice_of(packet_in, (size_t)n), passed);
	return !p->ended && !p->freed;
}

static void
on_ready(int fd, int ready, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	if (ready & WATCH_WRITE)
		mark_dirty(p);
	if (ready & WATCH_READ)
		receive(p);
	if (self.rest != NULL && timer_is_set(self.rest) && !p->ended && !p->freed)
		rest(p);
}

static void
say_hello(struct peer *p)
{
	msg_hello_put(&p->batch, &(struct msg_hello){ .service = (uint8_t)self.service,
				     .role = self.role,
				     .worker = self.worker,
				     .instance = self.instance,
				     .version_min = IPC_VERSION_MIN,
				     .version_max = IPC_VERSION_MAX,
				     .generation = self.generation,
				     .class = self.class,
				     .pid = (uint32_t)getpid() });
	mark_dirty(p);
}

static void
open_link(struct peer *p, int fd)
{
	p->fd = fd;
	p->heard = false;
	p->watch = watch_new(p->loop, fd, on_ready, p);
	want(p);
	say_hello(p);
}

static bool
right_uid(int fd, uid_t uid)
{
	struct ucred cred;
	socklen_t n = sizeof cred;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.uid == uid;
}

static void
on_accept(int fd, const struct addr *from, void *arg)
{
	struct peer_listener *pl = arg;

	(void)from;
	if (!right_uid(fd, pl->uid)) {
		log_begin(LOG_PEER_BAD);
		log_z(LOGK_PEER, service_word(pl->asker));
		log_z(LOGK_REASON, "connected as another user");
		log_end();
		close(fd);
		return;
	}
	open_link(peer_new(pl->loop, BY_ACCEPT, pl->asker, pl->uid, pl->ops, pl->arg), fd);
}

struct peer_listener *
peer_listen(
    struct loop *l, int fd, enum service asker, uid_t uid, const struct peer_ops *ops, void *arg)
{
	struct peer_listener *pl = xcalloc(1, sizeof *pl);

	*pl =
	    (struct peer_listener){ .loop = l, .asker = asker, .uid = uid, .ops = ops, .arg = arg };
	pl->listener = listen_new(l, fd, on_accept, pl);
	return pl;
}

void
peer_listener_free(struct peer_listener *pl)
{
	if (pl == NULL)
		return;
	listen_free(pl->listener);
	free(pl);
}

int
peer_connect_edge(enum service server, uid_t uid)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(sun.sun_path, sizeof sun.sun_path, "edge/%s.%s/s", service_word(server),
	    service_word(self.service));
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
		err = errno;
		close(fd);
		return -err;
	}
	if (!right_uid(fd, uid)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static void
dial(void *arg)
{
	struct peer *p = arg;
	int fd = peer_connect_edge(p->service, p->uid);

	if (fd < 0)
		dial_later(p);
	else
		open_link(p, fd);
}

static void
dial_later(struct peer *p)
{
	timer_set(p->redial, p->pause_ms / 2 + arc4random_uniform(p->pause_ms));
	p->pause_ms = p->pause_ms * 2 < DIAL_LAST_MS ? p->pause_ms * 2 : DIAL_LAST_MS;
}

struct peer *
peer_dial(struct loop *l, enum service server, uid_t uid, const struct peer_ops *ops, void *arg)
{
	struct peer *p = peer_new(l, BY_DIAL, server, uid, ops, arg);

	p->redial = timer_new(l, dial, p);
	timer_set(p->redial, 0);
	return p;
}

struct peer *
peer_supplied(struct loop *l, enum service server, uid_t uid, const struct peer_ops *ops, void *arg)
{
	return peer_new(l, BY_SUPPLY, server, uid, ops, arg);
}

void
peer_give(struct peer *p, int fd)
{
	if (p->fd >= 0 || !right_uid(fd, p->uid)) {
		close(fd); /* one is enough; a second answer to a repeated wish */
		return;
	}
	open_link(p, fd);
}

void
peer_on_want(void (*fn)(enum service server, void *arg), void *arg)
{
	self.want = fn;
	self.want_arg = arg;
}

struct peer *
peer_pair(struct loop *l, int fd, uint32_t other, const struct peer_ops *ops, void *arg)
{
	struct peer *p = peer_new(l, BY_PAIR, self.service, getuid(), ops, arg);

	p->from_bit = other;
	p->self_bit = other == IPC_PARENT ? IPC_WORKER : IPC_PARENT;
	open_link(p, fd);
	return p;
}

bool
peer_is_up(const struct peer *p)
{
	return p != NULL && p->heard && !p->ended;
}

const struct msg_hello *
peer_hello(const struct peer *p)
{
	return &p->hello;
}

enum service
peer_service(const struct peer *p)
{
	return p->service;
}

uid_t
peer_uid(const struct peer *p)
{
	return p->uid;
}

void *
peer_arg(const struct peer *p)
{
	return p->arg;
}

void
peer_set_arg(struct peer *p, void *arg)
{
	p->arg = arg;
}

/* Each a bounded while, so that one who says more than we can hear holds up nobody for good. */
static void
hear(bool all)
{
	struct peer *p;

	if (self.rest != NULL)
		timer_stop(self.rest);
	TAILQ_FOREACH(p, &self.all, all)
	{
		if (p->fd < 0 || p->ended || p->freed || !(all || p->rests))
			continue;
		p->rests = false;
		want(p);
		for (unsigned i = 0; i < HEAR_PACKETS && receive(p); i++)
			;
	}
}

static void
on_rested(void *arg)
{
	(void)arg;
	hear(false);
}

void
peer_rest(struct loop *l, uint64_t ms)
{
	struct peer *p;

	if (self.loop != l)
		return;
	if (self.rest == NULL)
		self.rest = timer_new(l, on_rested, NULL);
	timer_set(self.rest, ms);
	TAILQ_FOREACH(p, &self.all, all)
	if (p->fd >= 0 && !p->ended && !p->freed && p->silent < RESTS) {
		p->silent++;
		rest(p);
	}
}

void
peer_hear(struct loop *l)
{
	if (self.loop == l)
		hear(true);
}

size_t
peer_backlog(const struct peer *p)
{
	return p->backlog + p->batch.n;
}

struct buf *
peer_out(struct peer *p)
{
	if (!peer_is_up(p))
		return NULL;
	mark_dirty(p);
	return &p->batch;
}

static void
on_later(void *arg)
{
	struct peer *p = arg;

	not_late(p);
	mark_dirty(p);
}

struct buf *
peer_out_later(struct peer *p)
{
	if (!peer_is_up(p))
		return NULL;
	if (p->later == NULL)
		p->later = timer_new(p->loop, on_later, p);
	if (p->batch.n >= LATER_BYTES)
		mark_dirty(p);
	else if (!p->is_dirty && !p->is_late) {
		p->is_late = true;
		TAILQ_INSERT_TAIL(&self.late, p, late);
		timer_set(p->later, LATER_MS);
	}
	return &p->batch;
}

void
peer_send_fd(struct peer *p, const struct buf *frame, int fd)
{
	int copy;

	if (!peer_is_up(p))
		return;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0) {
		peer_drop(p, "no descriptor left for it");
		return;
	}
	line_up_batch(p);
	line_up(p, frame->p, frame->n, copy);
	mark_dirty(p);
}

int
ipc_take_fd(struct ipc_in *in)
{
	int fd = in->fd;

	in->fd = -1;
	return fd;
}
