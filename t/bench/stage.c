/* SPDX-License-Identifier: ISC */
#include "t/bench/stage.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "dns/dns.h"
#include "qmgr/dispatch.h"
#include "qmgr/from_router.h"
#include "qmgr/intake.h"
#include "qmgr/recover.h"
#include "qmgr/segments.h"
#include "spool/envelope.h"
#include "spool/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUESTIONS_MAX = 1 << 17, SEGMENT_FULL = SEGMENT_SOFT_BYTES };

uint64_t stage_now_ms = 1000000;
bool stage_by_the_clock;

static uint64_t
fake_ms(void)
{
	return stage_now_ms;
}

static uint64_t
fake_wall_ms(void)
{
	return UINT64_C(1700000000000) + stage_now_ms;
}

static const struct clock_source fake_clock = { fake_ms, fake_ms, fake_wall_ms };

/* ---- the DNS: each name has an address of its own ---- */

static struct question {
	dnsq_fn *fn;
	void *arg;
	enum dns_type type;
	uint32_t name;
} question[QUESTIONS_MAX];
static unsigned nquestions;

static uint64_t
dns_ask(void *arg, struct slice name, enum dns_type type, dnsq_fn *fn, void *fn_arg)
{
	uint32_t h = 2166136261U;

	(void)arg;
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (uint8_t)name.p[i]) * 16777619U;
	if (nquestions == QUESTIONS_MAX)
		die(1, "too many questions");
	question[nquestions++] = (struct question){ fn, fn_arg, type, h };
	return nquestions;
}

static void
dns_cancel(void *arg, uint64_t at)
{
	(void)arg;
	if (at > 0 && at <= nquestions)
		question[at - 1].fn = NULL;
}

static bool
dns_is_up(void *arg)
{
	(void)arg;
	return true;
}

static bool
dns_run(void)
{
	bool any = nquestions > 0;

	for (unsigned i = 0; i < nquestions; i++) {
		struct dnsq_answer a = { .status = DNS_NODATA, .ttl_s = 86400 };
		uint8_t ip[4] = { 10, (uint8_t)(question[i].name >> 16),
			(uint8_t)(question[i].name >> 8), (uint8_t)question[i].name };
		struct dns_record r = { .data = slice_of((const char *)ip, 4) };
		struct buf records = { 0 };

		if (question[i].fn == NULL)
			continue;
		if (question[i].type == DNS_A) {
			a.status = DNS_OK;
			dns_record_put(&records, DNS_A, &r);
			a.records = slice_buf(&records);
		}
		question[i].fn(question[i].arg, &a);
		buf_fini(&records);
	}
	nquestions = 0;
	return any;
}

/* ---- deliver ---- */

struct kept_job {
	uint64_t number;
	uint32_t n, rcpt[64], attempt[64];
};

static struct kept_job *kept;
static unsigned nkept, room_kept;
static struct stage *here;

static void
bus_segment(struct worker *w, uint32_t number, uint64_t seed, int fd)
{
	(void)w, (void)number, (void)seed, (void)fd;
}

static void
bus_forget(struct worker *w, uint32_t number)
{
	(void)w, (void)number;
}

static void
bus_job(struct worker *w, const struct msg_job *m)
{
	struct kept_job *j;

	(void)w;
	if (nkept == room_kept) {
		room_kept = room_kept == 0 ? 1024 : room_kept * 2;
		kept = xrealloc(kept, room_kept * sizeof *kept);
	}
	j = &kept[nkept++];
	j->number = m->job;
	j->n = (uint32_t)(m->rcpts.n / 8);
	if (j->n > 64)
		die(1, "more recipients in a job than this bench can hold");
	for (uint32_t i = 0; i < j->n; i++) {
		memcpy(&j->rcpt[i], m->rcpts.p + 8 * i, 4);
		memcpy(&j->attempt[i], m->rcpts.p + 8 * i + 4, 4);
	}
	here->stats.jobs++;
}

static void
bus_ack(struct worker *w, uint64_t job)
{
	(void)w, (void)job;
	here->stats.acked++;
}

static void
bus_large(struct worker *w, uint32_t number, int fd)
{
	(void)w, (void)number, (void)fd;
}

static void
bus_close(struct worker *w, uint32_t queue)
{
	(void)w, (void)queue;
}

static const struct bus bus = { bus_segment, bus_forget, bus_job, bus_ack, bus_large, bus_close };

unsigned
stage_jobs(const struct stage *s)
{
	(void)s;
	return nkept;
}

void
stage_room(struct stage *s, uint32_t room)
{
	dispatch_room(&s->q, s->worker, room);
}

static void
answer_one(struct stage *s, const struct kept_job *j, bool ok)
{
	for (uint32_t i = 0; i < j->n; i++)
		if (!dispatch_result(&s->q, s->worker,
			&(struct msg_result){ .job = j->number,
			    .rcpt = j->rcpt[i],
			    .attempt = j->attempt[i],
			    .kind = ok ? OUTCOME_OK : OUTCOME_TEMP,
			    .code = ok ? 250 : 450,
			    .enh_class = ok ? 2 : 4,
			    .phase = PHASE_DOT,
			    .text = SLICE_LIT("4.2.0 the mailbox is busy, try again later") }))
			die(1, "a result is refused");
	if (!dispatch_done(&s->q, s->worker,
		&(struct msg_job_done){ .job = j->number, .host = SLICE_LIT("mx.example.org") }))
		die(1, "a job's end is refused");
}

uint64_t
stage_answer_mixed(struct stage *s, unsigned first, unsigned later, uint64_t *delivered)
{
	unsigned n = nkept;
	uint64_t answered = 0;

	for (unsigned k = 0; k < n; k++) {
		unsigned chance = kept[k].attempt[0] == 1 ? first : later;
		bool ok = rng_next(&s->rng) % 1000 < chance;

		answer_one(s, &kept[k], ok);
		answered += kept[k].n;
		*delivered += ok ? kept[k].n : 0;
	}
	memmove(kept, kept + n, (nkept - n) * sizeof *kept);
	nkept -= n;
	return answered;
}

uint64_t
stage_answer(struct stage *s, enum stage_answer how)
{
	unsigned chance = how == STAGE_OK ? 1000 : 0;
	uint64_t delivered = 0;

	return stage_answer_mixed(s, chance, chance, &delivered);
}

/* ---- smtpd ---- */

static void
pen_made(struct qmgr *q, struct seg *seg, uint64_t instance, int fd)
{
	struct stage_pen *p = &here->pen;

	(void)q, (void)instance;
	if (fd < 0)
		die(1, "no segment");
	if (p->fd >= 0)
		close(p->fd);
	p->fd = fd;
	p->segment = seg->number;
	p->seed = seg->seed;
	p->at = p->rung = SEGMENT_HEADER;
	id_source_init(&p->ids, seg->number, seg->floor_ms);
}

static void
pen_new(struct stage *s)
{
	struct seg *old = s->pen.fd < 0 ? NULL : seg_find(&s->q.segtab, s->pen.segment);

	if (!segments_lease(&s->q, CLASS_MX, 1, ++s->instance, pen_made))
		die(1, "no lease");
	stage_settle(s);
	if (old != NULL)
		segments_look(&s->q, old);
}

static void
put_rcpt(struct stage *s, struct buf *env, const struct stage_letter *l, unsigned i)
{
	unsigned n = l->first + (l->domain + i) % l->domains;
	struct route r = { .transport = SLICE_LIT("smtp"), .nhops = 1 };
	struct envelope_route e = { .generation = 0 };
	char domain[64], to[96], host[96];
	struct buf bytes = { 0 };

	snprintf(domain, sizeof domain, "domain-%u.example", n);
	snprintf(to, sizeof to, "recipient%u@%s", i, domain);
	if (l->by_name)
		snprintf(host, sizeof host, "mx.%s", domain);
	else
		snprintf(host, sizeof host, "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
	envelope_put_text(env, ENVELOPE_RECIPIENT, slice_z(to));
	r.domain = slice_z(domain);
	r.hops[0] = (struct route_hop){ .host = slice_z(host), .port = 25 };
	route_put(&bytes, &r);
	e.bytes = slice_buf(&bytes);
	route_seal(s->sealer, 0, ROUTE_DELIVER, e.bytes, slice_z(to), e.seal);
	envelope_put_route(env, &e);
	buf_fini(&bytes);
}

void
stage_write(struct stage *s, const struct stage_letter *l)
{
	static char body[1 << 20] = "\r\n";
	struct stage_pen *p = &s->pen;
	struct buf env = { 0 };
	struct record_parts parts = { .head = SLICE_LIT("Subject: a message\r\n"),
		.nrcpt = l->nrcpt,
		.arrival_ms = clock_wall_ms() };
	size_t from;

	if (p->fd < 0 || p->at + p->bytes.n > SEGMENT_FULL - 65536) {
		stage_append(s);
		stage_ring(s);
		pen_new(s);
	}
	from = p->bytes.n;
	if (body[2] == '\0')
		memset(body + 2, 'x', sizeof body - 2);
	envelope_put_text(&env, ENVELOPE_SENDER, SLICE_LIT("somebody@sender.example"));
	for (unsigned i = 0; i < l->nrcpt; i++)
		put_rcpt(s, &env, l, i);
	parts.envelope = slice_buf(&env);
	parts.body = slice_of(body, l->body < 2 ? 2 : l->body);
	parts.id = id_next(&p->ids, clock_wall_ms());
	if (record_build(&p->bytes, &parts, p->seed) != 0)
		die(1, "no record");
	record_seal(p->bytes.p + from, p->segment, p->at + from, p->seed);
	buf_fini(&env);
}

void
stage_append(struct stage *s)
{
	struct stage_pen *p = &s->pen;

	if (p->bytes.n == 0)
		return;
	if (write(p->fd, p->bytes.p, p->bytes.n) != (ssize_t)p->bytes.n || fdatasync(p->fd) != 0)
		die(1, "the segment cannot be written: %s", strerror(errno));
	p->at += p->bytes.n;
	buf_reset(&p->bytes);
}

void
stage_ring(struct stage *s)
{
	struct seg *seg = s->pen.fd < 0 ? NULL : seg_find(&s->q.segtab, s->pen.segment);

	if (seg == NULL || s->pen.rung == s->pen.at)
		return;
	s->pen.rung = s->pen.at;
	if (!intake_rung(&s->q, seg, s->pen.at))
		die(1, "the doorbell is refused");
	stage_settle(s);
}

/* ---- the stage ---- */

static void
drain_log(void)
{
	uint64_t lost;
	size_t n = log_pending(&lost).n;

	log_sent(n, lost);
}

void
stage_settle(struct stage *s)
{
	for (;;) {
		qmgr_turn(&s->q);
		drain_log();
		if (dns_run())
			continue;
		if (!s->q.more && s->q.journal.want_ms == UINT64_MAX)
			break;
	}
}

static void
read_conf(struct stage *s, const char *more)
{
	struct buf text = { 0 }, err = { 0 };

	buf_printf(&text, "hostname = mx.example\nretry_jitter = 0\ndisk_floor = 0\n%s", more);
	if (conf_parse(slice_buf(&text), "bench", &s->conf, &err) != 0)
		die(1, "%.*s", SLICE_ARG(slice_buf(&err)));
	buf_fini(&text);
	buf_fini(&err);
}

void
stage_open(struct stage *s, const char *dir, const char *conf)
{
	struct spool_identity id;
	const char *why = "";
	int error;

	*s = (struct stage){ .pen = { .fd = -1 }, .instance = stage_now_ms };
	here = s;
	clock_set_source(stage_by_the_clock ? NULL : &fake_clock);
	log_open(SERVICE_QMGR);
	mkdir(dir, 0700);
	s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0)
		die(1, "%s: %s", dir, strerror(errno));
	memset(s->key, 42, sizeof s->key);
	s->sealer = route_sealer_new(s->key);
	read_conf(s, conf);
	error = spool_make(s->dirfd, &id);
	if (error != 0)
		die(1, "no spool in %s: %s", dir, strerror(-error));
	qmgr_init(&s->q, NULL, s->dirfd, s->conf, false);
	s->q.dispatch.bus = &bus;
	s->q.dns = (struct resolve_dns){ dns_ask, dns_cancel, dns_is_up, NULL };
	qmgr_set_identity(&s->q, &id);
	routes_key(&s->q, slice_of((const char *)s->key, sizeof s->key));
	error = recover_open(&s->q, &why);
	if (error != 0)
		die(1, "%s cannot be recovered: %s: %s", dir, why, strerror(-error));
	s->worker = dispatch_linked(&s->q, SERVICE_DELIVER, 1, ++s->instance, NULL);
	if (!dispatch_running(&s->q, s->worker, &(struct msg_running){ .last = 1 }))
		die(1, "the worker is refused");
}

void
stage_close(struct stage *s)
{
	if (s->pen.fd >= 0)
		close(s->pen.fd);
	buf_fini(&s->pen.bytes);
	qmgr_fini(&s->q);
	close(s->dirfd);
	route_sealer_free(s->sealer);
	conf_unref(s->conf);
	drain_log();
	free(kept);
	kept = NULL;
	nkept = room_kept = 0;
	here = NULL;
}
