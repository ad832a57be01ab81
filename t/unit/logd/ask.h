/* SPDX-License-Identifier: ISC */
#ifndef UNIT_LOGD_ASK_H
#define UNIT_LOGD_ASK_H

#include "../check_main.h"

#include "base/log.h"
#include "ipc/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A control server and its callers in one process, without threads: the callers' sockets do not
 * block. */
struct ask_world {
	struct loop *loop;
	struct ctl_server *server;
	char dir[64];
	int dirfd, fd;
};

struct asker {
	int fd, status; /* status -1: no end yet; -2: hung up on */
	struct buf out;
	char text[128];
};

static inline void
ask_open(struct ask_world *w, const struct ctl_verb *verbs, void *arg)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	*w = (struct ask_world){ .loop = loop_new(), .dir = "/tmp/test_logd.XXXXXX" };
	log_open(SERVICE_LOGD);
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	w->dirfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/ctl", w->dir);
	w->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert(bind(w->fd, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(w->fd, 100) == 0);
	w->server = ctl_serve(w->loop, w->fd, verbs, getgid(), arg);
}

static inline void
ask_close(struct ask_world *w)
{
	static const char *const names[] = { "ctl", "angarium.log", "angarium.log.1",
		"angarium.log.2", "angarium.log.9", "moved", "moved.2" };

	for (int i = 0; i < 4; i++)
		loop_turn(w->loop, false);
	ctl_server_free(w->server);
	loop_free(w->loop);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlinkat(w->dirfd, names[i], 0);
	close(w->fd);
	close(w->dirfd);
	ck_assert_int_eq(rmdir(w->dir), 0);
}

static inline void
ask(struct ask_world *w, struct asker *a, const char *verb, struct slice args)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct buf b = { 0 };

	*a = (struct asker){ .status = -1,
		.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/ctl", w->dir);
	ck_assert_int_eq(connect(a->fd, (struct sockaddr *)&sun, sizeof sun), 0);
	msg_hello_put(
	    &b, &(struct msg_hello){ .service = SERVICE_CTL, .version_min = 1, .version_max = 1 });
	msg_ctl_put(&b, &(struct msg_ctl){ .verb = slice_z(verb), .args = args });
	ck_assert_int_eq(send(a->fd, b.p, b.n, MSG_NOSIGNAL), (ssize_t)b.n);
	buf_fini(&b);
	for (int i = 0; i < 4; i++)
		loop_turn(w->loop, false);
}

/* What has come by now. */
static inline void
ask_hear(struct asker *a)
{
	static char in[IPC_PACKET_MAX];
	struct msg_frame f;
	struct msg_ctl_out o;
	struct msg_ctl_end e;
	ssize_t n;

	while ((n = recv(a->fd, in, sizeof in, 0)) > 0) {
		struct slice packet = slice_of(in, (size_t)n);

		while (msg_frame_next(&packet, &f))
			if (f.type == MSG_CTL_OUT) {
				ck_assert(msg_ctl_out_get(f.payload, &o));
				buf_slice(&a->out, o.data);
			} else if (f.type == MSG_CTL_END) {
				ck_assert(msg_ctl_end_get(f.payload, &e));
				a->status = e.status;
				slice_copy(e.text, a->text, sizeof a->text);
			}
	}
	if (n == 0)
		a->status = -2;
}

static inline void
ask_until_end(struct ask_world *w, struct asker *a)
{
	for (int i = 0; i < 100000 && a->status == -1; i++) {
		loop_turn(w->loop, false);
		ask_hear(a);
	}
	ck_assert_int_ne(a->status, -1);
}

static inline void
ask_done(struct asker *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	buf_fini(&a->out);
}

static inline void
file_put(struct ask_world *w, const char *name, const char *text, size_t n)
{
	int fd = openat(w->dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
	close(fd);
}

static inline void
file_get(struct ask_world *w, const char *name, struct buf *out)
{
	int fd = openat(w->dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf_reset(out);
	ck_assert_int_ge(fd, 0);
	while ((n = read(fd, buf_room(out, 1 << 20), 1 << 20)) > 0)
		out->n += (size_t)n;
	close(fd);
}

#endif
