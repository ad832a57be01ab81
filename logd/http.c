/* SPDX-License-Identifier: ISC */
#include "logd/http.h"

#include "base/die.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct http {
	struct MHD_Daemon *daemon;
	struct watch *watch;
	struct timer *timer;
	struct buf page;
	http_fn *fn;
	void *arg;
};

static enum MHD_Result
reply(struct MHD_Connection *c, unsigned status, const char *type, struct slice body)
{
	struct MHD_Response *r =
	    MHD_create_response_from_buffer_with_free_callback(body.n, slice_dup(body), free);
	enum MHD_Result done = MHD_NO;

	if (r == NULL)
		return MHD_NO;
	if (MHD_add_response_header(r, "Content-Type", type) == MHD_YES &&
	    (status != 405 || MHD_add_response_header(r, "Allow", "GET, HEAD") == MHD_YES))
		done = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_n, void **state)
{
	static int begun;
	struct http *h = arg;

	(void)version;
	(void)upload;
	/* First called when the header is read: a reply before the body would close the connection
	 * under its sender. */
	if (*state == NULL) {
		*state = &begun;
		return MHD_YES;
	}
	*upload_n = 0;
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return reply(c, 405, "text/plain", SLICE_LIT("only GET\n"));
	if (strcmp(url, "/metrics") != 0)
		return reply(c, 404, "text/plain", SLICE_LIT("only /metrics\n"));
	buf_reset(&h->page);
	h->fn(&h->page, h->arg);
	return reply(c, 200, "text/plain; version=0.0.4", slice_buf(&h->page));
}

static unsigned
connections(struct http *h)
{
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info == NULL ? 0 : info->num_connections;
}

/*
 * It works off what is ready, then says when it wants to be called without that. While there are as
 * many connections as may be it does not watch for others, and looks whether there are fewer only
 * when it begins to run: so it runs once more after some have ended.
 */
static void
run(struct http *h)
{
	unsigned before = connections(h);
	unsigned long long ms;

	MHD_run(h->daemon);
	if (connections(h) < before)
		timer_set(h->timer, 0);
	else if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
		timer_set(h->timer, ms);
	else
		timer_stop(h->timer);
}

static void
on_ready(int fd, int ready, void *arg)
{
	(void)fd;
	(void)ready;
	run(arg);
}

static void
on_time(void *arg)
{
	run(arg);
}

struct http *
http_new(struct loop *l, int fd, http_fn *fn, void *arg)
{
	struct http *h = xcalloc(1, sizeof *h);
	const union MHD_DaemonInfo *info;

	*h = (struct http){ .fn = fn, .arg = arg };
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
	    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_TIMEOUT_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16 * 1024, MHD_OPTION_END);
	info = h->daemon == NULL ? NULL : MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL) {
		free(h);
		return NULL;
	}
	h->timer = timer_new(l, on_time, h);
	h->watch = watch_new(l, info->epoll_fd, on_ready, h);
	watch_want(h->watch, WATCH_READ);
	run(h);
	return h;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	watch_free(h->watch);
	timer_free(h->timer);
	MHD_stop_daemon(h->daemon);
	buf_fini(&h->page);
	free(h);
}
