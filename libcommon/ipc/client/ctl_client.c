/* SPDX-License-Identifier: ISC */
#include "ipc/ctl_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int
send_frame(int fd, struct buf *b)
{
	ssize_t n = send(fd, b->p, b->n, MSG_NOSIGNAL);

	buf_fini(b);
	return n < 0 ? -errno : 0;
}

static void
time_limit(int fd, unsigned timeout_ms)
{
	struct timeval tv = { .tv_sec = timeout_ms / 1000,
		.tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000) };

	/* Cannot fail on a socket of our own; without it we would only wait longer. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

int
ctl_connect(int ctl_dirfd, const char *service, unsigned timeout_ms)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct buf b = { 0 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	time_limit(fd, timeout_ms);
	snprintf(sun.sun_path, sizeof sun.sun_path, "/proc/self/fd/%d/%s", ctl_dirfd, service);
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	msg_hello_put(&b, &(struct msg_hello){ .service = SERVICE_CTL,
			      .version_min = IPC_VERSION_MIN,
			      .version_max = IPC_VERSION_MAX,
			      .pid = (uint32_t)getpid() });
	err = send_frame(fd, &b);
	if (err != 0) {
		close(fd);
		return err;
	}
	return fd;
}

/* 1: the call has ended with *status; 0: go on; else -errno. */
static int
take_packet(struct slice packet, bool (*out)(struct slice, void *), void *arg, int *status,
    char *text, size_t size)
{
	struct msg_frame f;
	struct msg_ctl_out o;
	struct msg_ctl_end e;

	while (packet.n > 0) {
		if (!msg_frame_next(&packet, &f))
			return -EPROTO;
		if (f.type == MSG_CTL_OUT) {
			if (!msg_ctl_out_get(f.payload, &o))
				return -EPROTO;
			if (out != NULL && !out(o.data, arg))
				return -ECANCELED;
		} else if (f.type == MSG_CTL_END) {
			if (!msg_ctl_end_get(f.payload, &e))
				return -EPROTO;
			*status = e.status;
			if (text != NULL && size > 0)
				slice_copy(e.text, text, size);
			return 1;
		}
	}
	return 0;
}

int
ctl_call(int fd, const char *verb, const char *const *words, unsigned timeout_ms,
    bool (*out)(struct slice, void *), void *arg, char *text, size_t size)
{
	static char in[IPC_PACKET_MAX];
	struct buf b = { 0 }, args = { 0 };
	int status = 0, err;
	ssize_t n;

	for (; words != NULL && *words != NULL; words++)
		buf_put(&args, *words, strlen(*words) + 1);
	if (args.n > IPC_PAYLOAD_MAX / 2) {
		buf_fini(&args);
		return -E2BIG;
	}
	msg_ctl_put(&b, &(struct msg_ctl){ .verb = slice_z(verb), .args = slice_buf(&args) });
	buf_fini(&args);
	time_limit(fd, timeout_ms);
	err = send_frame(fd, &b);
	if (err != 0)
		return err;
	for (;;) {
		n = recv(fd, in, sizeof in, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return -ECONNRESET;
		err = take_packet(slice_of(in, (size_t)n), out, arg, &status, text, size);
		if (err != 0)
			return err == 1 ? status : err;
	}
}
