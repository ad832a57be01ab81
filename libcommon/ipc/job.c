/* SPDX-License-Identifier: ISC */
#include "ipc/job.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void
job_limits_put(struct buf *out, const struct job_limits *l)
{
	buf_put(out, l, sizeof *l);
}

bool
job_limits_get(struct slice in, struct job_limits *l)
{
	*l = (struct job_limits){ 0 };
	if (in.n % 4 != 0)
		return false;
	if (in.n > 0)
		memcpy(l, in.p, in.n < sizeof *l ? in.n : sizeof *l);
	return true;
}

void
job_host_put(struct buf *out, const struct job_host *h)
{
	assert(h->name.n <= UINT8_MAX);
	buf_putc(out, (char)h->name.n);
	buf_slice(out, h->name);
	buf_put(out, &h->port, sizeof h->port);
	buf_put(out, h->ip, sizeof h->ip);
}

/* Takes n bytes off the front. */
static bool
take(struct slice *rest, void *out, size_t n)
{
	if (rest->n < n)
		return false;
	memcpy(out, rest->p, n);
	rest->p += n;
	rest->n -= n;
	return true;
}

static bool
take_text(struct slice *rest, size_t n, struct slice *out)
{
	if (rest->n < n)
		return false;
	*out = (struct slice){ rest->p, n };
	rest->p += n;
	rest->n -= n;
	return true;
}

int
job_host_next(struct slice *rest, struct job_host *out)
{
	uint8_t n;

	if (rest->n == 0)
		return 0;
	if (!take(rest, &n, sizeof n) || !take_text(rest, n, &out->name) ||
	    !take(rest, &out->port, sizeof out->port) || !take(rest, out->ip, sizeof out->ip))
		return -EBADMSG;
	return 1;
}

void
job_failed_put(struct buf *out, const struct job_failed *f)
{
	struct slice text = slice_head(f->text, JOB_FAILED_TEXT_MAX);

	buf_put(out, f->ip, sizeof f->ip);
	buf_put(out, &f->port, sizeof f->port);
	buf_putc(out, (char)text.n);
	buf_slice(out, text);
}

int
job_failed_next(struct slice *rest, struct job_failed *out)
{
	uint8_t n;

	if (rest->n == 0)
		return 0;
	if (!take(rest, out->ip, sizeof out->ip) || !take(rest, &out->port, sizeof out->port) ||
	    !take(rest, &n, sizeof n) || !take_text(rest, n, &out->text))
		return -EBADMSG;
	return 1;
}

static void
put_text(struct buf *out, struct slice text)
{
	uint16_t n = (uint16_t)text.n;

	assert(text.n <= UINT16_MAX);
	buf_put(out, &n, sizeof n);
	buf_slice(out, text);
}

static bool
take_long_text(struct slice *rest, struct slice *out)
{
	uint16_t n;

	return take(rest, &n, sizeof n) && take_text(rest, n, out);
}

void
job_address_put(struct buf *out, const struct job_address *a)
{
	buf_put(out, &a->rcpt, sizeof a->rcpt);
	buf_putc(out, (char)a->notify);
	put_text(out, a->address);
	put_text(out, a->original);
	put_text(out, a->orcpt);
}

int
job_address_next(struct slice *rest, struct job_address *out)
{
	if (rest->n == 0)
		return 0;
	if (!take(rest, &out->rcpt, sizeof out->rcpt) ||
	    !take(rest, &out->notify, sizeof out->notify) || !take_long_text(rest, &out->address) ||
	    !take_long_text(rest, &out->original) || !take_long_text(rest, &out->orcpt))
		return -EBADMSG;
	return 1;
}
