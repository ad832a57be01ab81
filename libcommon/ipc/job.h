/* SPDX-License-Identifier: ISC */
#ifndef IPC_JOB_H
#define IPC_JOB_H

#include "base/buf.h"

/* Parts of JOB (ipc/messages.h): what qmgr tells deliver and local beside the record. */

/* What the scopes of the configuration say for a queue, told to deliver with each job. Encoded as
 * these u32 in this order; missing ones are 0: the default of the table in deliver. */
struct job_limits {
	uint32_t connections; /* to this queue's destination, over all workers; qmgr keeps to it */
	uint32_t rcpts;	      /* per transaction */
	uint32_t messages;    /* per connection */
	uint32_t connect_ms, banner_ms, helo_ms, mail_ms, rcpt_ms, data_ms, body_ms, dot_ms;
	uint32_t tries; /* hosts that one attempt may try */
	uint32_t tell;	/* 1: of connections that are kept (CONN_GONE) */
};
void job_limits_put(struct buf *out, const struct job_limits *l);
bool job_limits_get(struct slice in, struct job_limits *l);

/*
 * JOB's `hosts`: what qmgr resolved, in the order in which deliver is to try them. Encoded, one
 * after the other: u8 length and name, u16 port, 16 bytes of address (IPv4 mapped). A host with
 * several addresses stands there once for each.
 */
enum { JOB_HOSTS_MAX = 32 };
struct job_host {
	struct slice name; /* of the mail exchanger, or the literal: for the log and for TLS */
	uint16_t port;
	uint8_t ip[16];
};
void job_host_put(struct buf *out, const struct job_host *h);
/* Takes the first off *rest: 1; 0 at the end; -EBADMSG. Slices point into it. */
int job_host_next(struct slice *rest, struct job_host *out);

/*
 * JOB_DONE's `failed`: hosts that gave no greeting. Encoded, one after the other: 16 bytes of
 * address, u16 port, u8 length and text.
 */
enum { JOB_FAILED_TEXT_MAX = 160 };
struct job_failed {
	uint8_t ip[16];
	uint16_t port;
	struct slice text; /* what it came to; a longer one is cut */
};
void job_failed_put(struct buf *out, const struct job_failed *f);
int job_failed_next(struct slice *rest, struct job_failed *out); /* as job_host_next() */

/*
 * JOB's `addresses`: recipients that an expansion made. Encoded, one after the other: u32 number,
 * u8 NOTIFY, then address, original and ORCPT, each u16 length and bytes. A recipient of the job
 * that is not here stands in the envelope.
 */
struct job_address {
	uint32_t rcpt;
	uint8_t notify; /* enum envelope_notify */
	struct slice address, original,
	    orcpt; /* original: of the envelope, which became this one */
};
void job_address_put(struct buf *out, const struct job_address *a);
int job_address_next(struct slice *rest, struct job_address *out); /* as job_host_next() */

#endif
