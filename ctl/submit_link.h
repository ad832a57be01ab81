/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_LINK_H
#define CTL_SUBMIT_LINK_H

#include "smtp/reply.h"

/*
 * The client's end of the local submission socket. It blocks, each wait has a limit, and it reads
 * while it writes, so that a long pipelined group cannot lock both ends. Errors are -errno:
 * -ETIMEDOUT, -EPIPE where the server is gone, -EPROTO where it speaks no SMTP.
 */
struct submit_link {
	int fd; /* -1: not open */
	struct buf out, in;
	size_t sent;  /* of out */
	size_t heard; /* of in */
	bool ended;   /* the server has closed its side, or the socket broke */
	struct reply_parser parser;
};

/*
 * Connects to the socket "s" of the folder, which becomes the current one: its path may be longer
 * than a socket address holds.
 */
int submit_link_open(struct submit_link *l, const char *folder, unsigned timeout_ms);
void submit_link_close(
    struct submit_link *l); /* also when it was never opened, if zeroed with fd -1 */

/* Behind what waits to be sent. */
void submit_link_put(struct submit_link *l, struct slice bytes);
/* Until all that waits is sent. -EPIPE: part of it was not. */
int submit_link_flush(struct submit_link *l, unsigned timeout_ms);
/* The next reply, whose text lives until the one after it. Sends meanwhile. */
int submit_link_reply(struct submit_link *l, unsigned timeout_ms, struct reply_in *reply);

#endif
