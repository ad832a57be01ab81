/* SPDX-License-Identifier: ISC */
#include "deliver/job.h"

#include "base/clock.h"
#include "base/die.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum { RCPT_BYTES = 8, TEXT_MAX_BYTES = 1000 };

static bool
read_rcpts(struct delivery *d, struct slice in)
{
	if (in.n == 0 || in.n % RCPT_BYTES != 0 || in.n / RCPT_BYTES > JOB_RCPTS_MAX)
		return false;
	d->nrcpts = d->nopen = (uint32_t)(in.n / RCPT_BYTES);
	d->rcpts = xcalloc(d->nrcpts, sizeof *d->rcpts);
	for (uint32_t i = 0; i < d->nrcpts; i++) {
		memcpy(&d->rcpts[i].number, in.p + i * RCPT_BYTES, 4);
		memcpy(&d->rcpts[i].attempt, in.p + i * RCPT_BYTES + 4, 4);
		/* In rising order: the envelope is then walked once. */
		if (i > 0 && d->rcpts[i].number <= d->rcpts[i - 1].number)
			return false;
	}
	return true;
}

/* Those that an expansion made; both lists rise. */
static bool
read_addresses(struct delivery *d, struct slice in)
{
	struct job_address a;
	uint32_t i = 0;
	int more;

	buf_slice(&d->addresses, in);
	in = slice_buf(&d->addresses);
	while ((more = job_address_next(&in, &a)) == 1) {
		while (i < d->nrcpts && d->rcpts[i].number < a.rcpt)
			i++;
		if (i == d->nrcpts || d->rcpts[i].number != a.rcpt || d->rcpts[i].given ||
		    a.address.n == 0)
			return false;
		d->rcpts[i].given = true;
		d->rcpts[i].address = a.address;
		d->rcpts[i].original = a.original;
		d->rcpts[i].orcpt = a.orcpt;
		d->rcpts[i].notify = a.notify;
	}
	return more == 0;
}

/* What qmgr resolved; without it, hops as they stand. */
static bool
read_hosts(struct delivery *d, struct slice in)
{
	struct job_host hosts[JOB_HOSTS_MAX];
	struct slice rest;
	int more = 0;

	buf_slice(&d->host_bytes, in);
	rest = slice_buf(&d->host_bytes);
	while (d->nhosts < JOB_HOSTS_MAX && (more = job_host_next(&rest, &hosts[d->nhosts])) == 1)
		d->nhosts++;
	if (more < 0 || rest.n > 0)
		return false;
	for (unsigned i = 0; in.n == 0 && i < d->route.nhops; i++) {
		struct job_host *h = &hosts[d->nhosts++];

		*h = (struct job_host){ .name = d->route.hops[i].host,
			.port = d->route.hops[i].port };
		addr_host_parse(h->name, h->ip);
	}
	d->hosts = xmalloc(d->nhosts * sizeof *d->hosts);
	memcpy(d->hosts, hosts, d->nhosts * sizeof *d->hosts);
	return true;
}

static bool
read_source(struct delivery *d, struct slice in)
{
	d->has_source = in.n > 0;
	if (in.n == sizeof d->source.host)
		memcpy(d->source.host, in.p, in.n);
	return in.n == 0 || in.n == sizeof d->source.host;
}

/* Mailboxes of this host are no hops. */
static bool
route_fits(const struct delivery *d)
{
	return d->route.nhops > 0 || slice_is(d->route.transport, "local");
}

struct delivery *
delivery_new(const struct msg_job *m, struct segments *segments)
{
	struct held_segment *h = segments_find(segments, m->segment);
	struct delivery *d;

	if (h == NULL || m->length < RECORD_HEADER || m->length > RECORD_MAX_BYTES ||
	    m->offset > RECORD_MAX_BYTES)
		return NULL;
	d = xmalloc(sizeof *d);
	*d = (struct delivery){ .number = m->job,
		.id = m->id,
		.queue = m->queue,
		.segment = h,
		.offset = m->offset,
		.length = m->length,
		.large_fd = -1,
		.body = { .fd = -1 },
		.arrival_ms = m->arrival_ms,
		.began_ms = clock_mono_ms() };
	segments_ref(h);
	buf_slice(&d->route_bytes, m->route);
	if (!route_get(slice_buf(&d->route_bytes), &d->route) || !route_fits(d) ||
	    !read_hosts(d, m->hosts) || !read_source(d, m->source) ||
	    !job_limits_get(m->limits, &d->limits) || !read_rcpts(d, m->rcpts) ||
	    !read_addresses(d, m->addresses)) {
		delivery_free(d, segments, NULL);
		return NULL;
	}
	return d;
}

void
delivery_free(struct delivery *d, struct segments *segments, uint32_t *forgotten)
{
	uint32_t number = d->segment->number;

	for (uint32_t i = 0; d->rcpts != NULL && i < d->nrcpts; i++)
		free(d->rcpts[i].text);
	free(d->rcpts);
	buf_fini(&d->route_bytes);
	buf_fini(&d->host_bytes);
	buf_fini(&d->failed);
	free(d->hosts);
	buf_fini(&d->addresses);
	buf_fini(&d->bytes);
	if (d->large_fd >= 0)
		close(d->large_fd);
	arena_fini(&d->arena);
	if (segments_unref(segments, d->segment) && forgotten != NULL)
		*forgotten = number;
	free(d);
}

static char *
one_line(struct slice text)
{
	size_t n = text.n < TEXT_MAX_BYTES ? text.n : TEXT_MAX_BYTES;
	char *z = slice_dup(slice_head(text, n));

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)z[i] < ' ' || z[i] == 127)
			z[i] = ' ';
	return z;
}

void
delivery_end_rcpt(struct delivery *d, struct job_rcpt *r, enum outcome_kind kind,
    enum delivery_phase phase, uint16_t code, const uint8_t enh[3], struct slice text)
{
	assert(r->state != RCPT_ENDED && d->nopen > 0);
	r->state = RCPT_ENDED;
	r->kind = kind;
	r->phase = (uint8_t)phase;
	r->code = code;
	memcpy(r->enh, enh, 3);
	r->text = one_line(text);
	d->nopen--;
}

void
delivery_end_open(struct delivery *d, enum outcome_kind kind, enum delivery_phase phase,
    uint16_t code, const uint8_t enh[3], struct slice text)
{
	for (uint32_t i = 0; i < d->nrcpts; i++)
		if (d->rcpts[i].state != RCPT_ENDED)
			delivery_end_rcpt(d, &d->rcpts[i], kind, phase, code, enh, text);
}

void
delivery_put_results(const struct delivery *d, struct buf *out)
{
	static const uint8_t none[16];

	for (uint32_t i = 0; i < d->nrcpts; i++) {
		const struct job_rcpt *r = &d->rcpts[i];

		msg_result_put(out, &(struct msg_result){ .job = d->number,
					.rcpt = r->number,
					.attempt = r->attempt,
					.kind = r->damaged ? JOB_DAMAGED : (uint8_t)r->kind,
					.code = r->code,
					.enh_class = r->enh[0],
					.enh_subject = r->enh[1],
					.enh_detail = r->enh[2],
					.phase = r->phase,
					.text = slice_z(r->text),
					.dsn = r->dsn });
	}
	msg_job_done_put(out,
	    &(struct msg_job_done){ .job = d->number,
		.host_down = d->host_down,
		.host = slice_z(d->host),
		.addr =
		    memcmp(d->addr.host, none, 16) == 0 ? SLICE_NONE : slice_of(d->addr.host, 16),
		.port = d->addr.port,
		.failed = slice_buf(&d->failed),
		.conn_use = d->conn_use,
		.kept = d->kept,
		.took = d->took,
		.opened = d->opened,
		.connect_ms =
		    (uint32_t)((d->mail_ms != 0 ? d->mail_ms : clock_mono_ms()) - d->began_ms) });
}

void
delivery_put_rcpts(const struct delivery *d, struct buf *out)
{
	for (uint32_t i = 0; i < d->nrcpts; i++) {
		buf_put(out, &d->rcpts[i].number, 4);
		buf_put(out, &d->rcpts[i].attempt, 4);
	}
}
