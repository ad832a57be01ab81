/* SPDX-License-Identifier: ISC */
#ifndef LOGD_HTTP_H
#define LOGD_HTTP_H

#include "base/buf.h"
#include "io/loop.h"

/*
 * GET /metrics, for Prometheus and curl, over listening sockets (owned from here on). libmicrohttpd
 * runs within the loop, without a thread: the loop watches its epoll descriptor. No access control:
 * who may connect may read; it listens where the configuration says, on loopback if it is wise.
 */
enum { HTTP_CONNECTIONS = 16, HTTP_TIMEOUT_S = 10 };

typedef void http_fn(struct buf *out, void *arg); /* the page */
struct http;
/* NULL: cannot be started. */
struct http *http_new(struct loop *l, int fd, http_fn *fn, void *arg);
void http_free(struct http *h);

#endif
