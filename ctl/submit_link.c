/* SPDX-License-Identifier: ISC */
#include "ctl/submit_link.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { REPLIES_BYTES = 4096 }; /* heard at once */

int
submit_link_open(struct submit_link *l, const char *folder, unsigned timeout_ms)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "s" };
	struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	int err;

	*l = (struct submit_link){ .fd = -1 };
	if (chdir(folder) < 0)
		return -errno;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	/* A full backlog makes connect() wait; this is how long. */
	setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(l->fd, (const struct sockaddr *)&to, sizeof to) == 0)
		return 0;
	err = errno == EAGAIN ? ETIMEDOUT : errno;
	submit_link_close(l);
	return -err;
}

void
submit_link_close(struct submit_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	buf_fini(&l->out);
	buf_fini(&l->in);
	reply_parser_fini(&l->parser);
	*l = (struct submit_link){ .fd = -1 };
}

void
submit_link_put(struct submit_link *l, struct slice bytes)
{
	buf_slice(&l->out, bytes);
}

static bool
again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void
send_some(struct submit_link *l)
{
	ssize_t n =
	    send(l->fd, l->out.p + l->sent, l->out.n - l->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		l->sent += (size_t)n;
	else if (n < 0 && !again())
		l->ended = true; /* what the server said before may still be read */
	if (l->sent == l->out.n) {
		l->sent = 0;
		buf_reset(&l->out);
	}
}

static void
hear_some(struct submit_link *l)
{
	char *to = buf_room(&l->in, REPLIES_BYTES);
	ssize_t n = recv(l->fd, to, REPLIES_BYTES, MSG_DONTWAIT);

	if (n > 0)
		l->in.n += (size_t)n;
	else if (n == 0 || !again())
		l->ended = true;
}

/* One wait and what it brought. */
static int
turn(struct submit_link *l, uint64_t until_ms)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	uint64_t now = clock_mono_ms();

	if (l->ended)
		return -EPIPE;
	if (now >= until_ms)
		return -ETIMEDOUT;
	if (l->out.n > l->sent)
		p.events |= POLLOUT;
	if (poll(&p, 1, (int)(until_ms - now)) < 0)
		return errno == EINTR ? 0 : -errno;
	/* Hear first: a server that gives up says why before it closes. */
	if (p.revents & (POLLIN | POLLHUP | POLLERR))
		hear_some(l);
	if ((p.revents & POLLOUT) && !l->ended)
		send_some(l);
	return 0;
}

int
submit_link_flush(struct submit_link *l, unsigned timeout_ms)
{
	uint64_t until = clock_mono_ms() + timeout_ms;
	int r = 0;

	while (r == 0 && l->out.n > l->sent)
		r = turn(l, until);
	return r;
}

/* A reply out of what was heard already: 1, or 0 when it needs more. */
static int
take_reply(struct submit_link *l, struct reply_in *reply)
{
	size_t used = 0;
	enum reply_step step;

	if (l->heard == l->in.n)
		return 0;
	step = reply_feed(&l->parser, slice_from(slice_buf(&l->in), l->heard), &used, reply);
	l->heard += used;
	if (l->heard == l->in.n || step == REPLY_MORE) {
		l->heard = 0;
		buf_reset(&l->in);
	}
	switch (step) {
	case REPLY_MORE:
		return 0;
	case REPLY_DONE:
		return 1;
	case REPLY_BAD:
		break;
	}
	return -EPROTO;
}

int
submit_link_reply(struct submit_link *l, unsigned timeout_ms, struct reply_in *reply)
{
	uint64_t until = clock_mono_ms() + timeout_ms;
	int r;

	while ((r = take_reply(l, reply)) == 0)
		if ((r = turn(l, until)) < 0)
			break;
	return r < 0 ? r : 0;
}
