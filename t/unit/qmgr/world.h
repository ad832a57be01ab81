/* SPDX-License-Identifier: ISC */
#ifndef UNIT_QMGR_WORLD_H
#define UNIT_QMGR_WORLD_H

#include "../check_main.h"

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/address.h"
#include "qmgr/clean.h"
#include "qmgr/compact.h"
#include "qmgr/dispatch.h"
#include "qmgr/from_router.h"
#include "qmgr/intake.h"
#include "qmgr/list.h"
#include "qmgr/operate.h"
#include "qmgr/recover.h"
#include "qmgr/schedule.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"
#include "qmgr/why.h"
#include "spool/envelope.h"
#include "spool/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A queue manager in this process: the real modules over a real spool folder, with a clock that
 * stands until it is moved, no threads, no loop, and a bus that only notes what was sent. A crash
 * is that its memory is thrown away.
 */
static uint64_t now_ms = 1000000, wall_skew_ms;

static inline uint64_t
fake_ms(void)
{
	return now_ms;
}

static inline uint64_t
fake_wall_ms(void)
{
	return UINT64_C(1700000000000) + now_ms + wall_skew_ms;
}

static const struct clock_source fake_clock = { fake_ms, fake_ms, fake_wall_ms };

/*
 * The DNS: a few rows of a zone. What stands there under no name has the address 192.0.2.77, so
 * that tests that care for none need no zone. Answers come when the world settles.
 */
struct world_dns {
	const char *name;
	enum dns_type type;
	enum dns_status status;
	/* "10 mx.example", "192.0.2.1", separated by blanks and commas: see dns_answer() */
	const char *records;
	uint32_t ttl_s;
};

enum { DNS_OPEN_MAX = 4096 };
static struct {
	const struct world_dns *zone;
	bool down, slow; /* slow: answers stay away until dns_run() */
	unsigned nasked, nopen;
	uint64_t token;
	struct {
		uint64_t token;
		char name[DNS_NAME_MAX + 1];
		enum dns_type type;
		dnsq_fn *fn;
		void *arg;
	} open[DNS_OPEN_MAX];
} dns;

static uint64_t
dns_ask(void *arg, struct slice name, enum dns_type type, dnsq_fn *fn, void *fn_arg)
{
	(void)arg;
	ck_assert_uint_lt(dns.nopen, DNS_OPEN_MAX);
	slice_copy(name, dns.open[dns.nopen].name, sizeof dns.open[0].name);
	dns.open[dns.nopen].type = type;
	dns.open[dns.nopen].fn = fn;
	dns.open[dns.nopen].arg = fn_arg;
	dns.open[dns.nopen++].token = ++dns.token;
	dns.nasked++;
	return dns.token;
}

static void
dns_cancel(void *arg, uint64_t question)
{
	(void)arg;
	for (unsigned i = 0; i < dns.nopen; i++)
		if (dns.open[i].token == question)
			dns.open[i] = dns.open[--dns.nopen];
}

static bool
dns_is_up(void *arg)
{
	(void)arg;
	return !dns.down;
}

static inline void
dns_records(struct buf *out, enum dns_type type, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, ",");
		char one[300], name[256];
		struct dns_record r = { 0 };
		uint8_t ip[16];

		snprintf(one, sizeof one, "%.*s", (int)n, text + strspn(text, " "));
		text += n + (text[n] == ',');
		if (type == DNS_MX) {
			ck_assert_int_eq(sscanf(one, "%hu %255s", &r.preference, name), 2);
			r.data = strcmp(name, ".") == 0 ? SLICE_NONE : slice_z(name);
		} else {
			ck_assert(addr_host_parse(slice_z(one), ip));
			r.data = type == DNS_A ? slice_of(ip + 12, 4) : slice_of(ip, 16);
		}
		dns_record_put(out, type, &r);
	}
}

static inline void
dns_answer(const char *name, enum dns_type type, dnsq_fn *fn, void *arg)
{
	struct dnsq_answer a = { .status = type == DNS_A ? DNS_OK : DNS_NODATA, .ttl_s = 300 };
	struct buf records = { 0 };
	bool known = false, found = false;

	for (const struct world_dns *z = dns.zone; z != NULL && z->name != NULL; z++) {
		known |= strcmp(z->name, name) == 0;
		if (strcmp(z->name, name) != 0 || (z->type != type && z->type != 0))
			continue;
		a.status = z->status;
		a.ttl_s = z->ttl_s != 0 ? z->ttl_s : 300;
		dns_records(&records, type, z->records != NULL ? z->records : "");
		found = true;
		break;
	}
	if (!found && known)
		a.status = DNS_NODATA;
	else if (!found && a.status == DNS_OK)
		dns_records(&records, DNS_A, "192.0.2.77");
	if (dns.down || a.status == DNS_TEMP)
		a = (struct dnsq_answer){ .status = DNS_TEMP, .text = SLICE_LIT("SERVFAIL") };
	else
		a.records = slice_buf(&records);
	fn(arg, &a);
	buf_fini(&records);
}

/* All that is asked, and what is asked because of it. True: there was something. */
static inline bool
dns_run(void)
{
	bool any = dns.nopen > 0;

	while (dns.nopen > 0) {
		unsigned last = --dns.nopen;
		char name[DNS_NAME_MAX + 1];

		memcpy(name, dns.open[last].name, sizeof name);
		dns_answer(name, dns.open[last].type, dns.open[last].fn, dns.open[last].arg);
	}
	return any;
}

struct told_job {
	uint64_t number, id;
	uint32_t segment, queue, n, rcpt[64], attempt[64];
	uint64_t offset, length;
	struct worker *worker;
	unsigned nhosts;
	char host[JOB_HOSTS_MAX][64];
	uint8_t ip[JOB_HOSTS_MAX][16];
	uint16_t port[JOB_HOSTS_MAX];
	uint32_t tries;
	size_t source_n;
	uint8_t source[16];
	bool acked, done;
};

struct world {
	struct qmgr q;
	struct conf *conf;
	char dir[128];
	int dirfd;
	bool open;
	uint64_t opened; /* times */
	uint8_t key[ROUTE_KEY];
	struct route_sealer *sealer;
};

static struct world *world_; /* the one that the bus notes for */
static struct told_job told[65536];
static unsigned ntold, nforgotten, nsegments_told;

static uint32_t noted_large __attribute__((unused)); /* the last one that went to a worker */

static void
bus_segment(struct worker *w, uint32_t number, uint64_t seed, int fd)
{
	(void)w;
	(void)number;
	(void)seed;
	ck_assert_int_ge(fd, 0);
	nsegments_told++;
}

static void
bus_forget(struct worker *w, uint32_t number)
{
	(void)w;
	(void)number;
	nforgotten++;
}

static void
note_hosts(struct told_job *t, const struct msg_job *m)
{
	struct slice rest = m->hosts;
	struct job_limits limits;
	struct job_host h;

	while (job_host_next(&rest, &h) == 1) {
		ck_assert_uint_lt(t->nhosts, JOB_HOSTS_MAX);
		slice_copy(h.name, t->host[t->nhosts], sizeof t->host[0]);
		memcpy(t->ip[t->nhosts], h.ip, 16);
		t->port[t->nhosts++] = h.port;
	}
	ck_assert(job_limits_get(m->limits, &limits));
	t->tries = limits.tries;
}

static void
bus_job(struct worker *w, const struct msg_job *m)
{
	struct told_job *t = &told[ntold++];

	ck_assert_uint_lt(ntold, sizeof told / sizeof *told);
	*t = (struct told_job){ .number = m->job,
		.id = m->id,
		.segment = m->segment,
		.queue = m->queue,
		.worker = w,
		.offset = m->offset,
		.length = m->length,
		.n = (uint32_t)(m->rcpts.n / 8) };
	for (uint32_t i = 0; i < t->n && i < 64; i++) {
		memcpy(&t->rcpt[i], m->rcpts.p + 8 * i, 4);
		memcpy(&t->attempt[i], m->rcpts.p + 8 * i + 4, 4);
		/* As deliver wants them, whatever the order in which they became due. */
		ck_assert(i == 0 || t->rcpt[i] > t->rcpt[i - 1]);
	}
	note_hosts(t, m);
	t->source_n = m->source.n;
	if (t->source_n == sizeof t->source)
		memcpy(t->source, m->source.p, sizeof t->source);
}

static void
bus_ack(struct worker *w, uint64_t job)
{
	for (unsigned i = 0; i < ntold; i++)
		if (told[i].number == job && told[i].worker == w)
			told[i].acked = true;
}

static void
bus_large(struct worker *w, uint32_t number, int fd)
{
	(void)w;
	(void)fd;
	noted_large = number;
}

/* Of these queues connections were asked to be closed. */
enum { CLOSED_MAX = 4096 };
static uint32_t closed_queue[CLOSED_MAX];
static unsigned nclosed;

static void
bus_close(struct worker *w, uint32_t queue)
{
	(void)w;
	closed_queue[nclosed++ % CLOSED_MAX] = queue;
}

static const struct bus noting_bus = { bus_segment, bus_forget, bus_job, bus_ack, bus_large,
	bus_close };

static inline void
world_conf(struct world *w, const char *text)
{
	struct buf err = { 0 };
	char all[2048];

	snprintf(
	    all, sizeof all, "hostname = mx.example\nretry_jitter = 0\ndisk_floor = 0\n%s", text);
	if (conf_parse(slice_z(all), "test", &w->conf, &err) != 0)
		ck_abort_msg("%.*s", SLICE_ARG(slice_buf(&err)));
}

/* Starts (again) over what is on the disk. */
static inline int
world_open(struct world *w)
{
	struct spool_identity id;
	const char *why = "";
	int error;

	world_ = w;
	ntold = 0;
	error = spool_make(w->dirfd, &id);
	if (error != 0)
		return error;
	qmgr_init(&w->q, NULL, w->dirfd, w->conf, false);
	w->q.rng.state = 7;
	w->q.dispatch.serial = ++w->opened << 20;
	w->q.dispatch.bus = &noting_bus;
	dns.nopen = 0;
	w->q.dns = (struct resolve_dns){ dns_ask, dns_cancel, dns_is_up, NULL };
	qmgr_set_identity(&w->q, &id);
	routes_key(&w->q, slice_of(w->key, sizeof w->key));
	error = recover_open(&w->q, &why);
	w->open = true;
	return error;
}

static inline void
world_crash(struct world *w)
{
	qmgr_fini(&w->q);
	w->open = false;
}

/* No test here cuts the power: memory serves, and spares the disk a thousand journals. */
static inline const char *
world_place(void)
{
	const char *place = getenv("TMPDIR");

	if (place != NULL && strlen(place) < 64)
		return place;
	return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static inline void
world_new(struct world *w, const char *conf)
{
	*w = (struct world){ 0 };
	now_ms = 1000000;
	wall_skew_ms = 0;
	nforgotten = nsegments_told = 0;
	clock_set_source(&fake_clock);
	log_open(SERVICE_QMGR);
	snprintf(w->dir, sizeof w->dir, "%s/qmgrtest.XXXXXX", world_place());
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	w->dirfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(w->dirfd, 0);
	memset(w->key, 42, sizeof w->key);
	w->sealer = route_sealer_new(w->key);
	world_conf(w, conf);
	ck_assert_int_eq(world_open(w), 0);
}

/* All that stands in it, by the kernel's own calls: where a test plays the disk, ours keep what they remove. */
static inline void
world_remove(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		int below;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    syscall(SYS_unlinkat, fd, e->d_name, 0) == 0)
			continue;
		below = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		world_remove(below);
		close(below);
		syscall(SYS_unlinkat, fd, e->d_name, AT_REMOVEDIR);
	}
	if (d != NULL)
		closedir(d);
}

static inline void
world_drain_log(void)
{
	uint64_t lost;
	size_t n = log_pending(&lost).n;

	log_sent(n, lost);
}

static inline void
world_end(struct world *w)
{
	if (w->open)
		world_crash(w);
	world_remove(w->dirfd);
	close(w->dirfd);
	ck_assert_msg(rmdir(w->dir) == 0, "%s is not empty", w->dir);
	route_sealer_free(w->sealer);
	conf_unref(w->conf);
	world_drain_log();
}

static inline bool
world_balanced(const struct world *w)
{
	return ledger_balances(&w->q.ledger, w->q.messages.recipients);
}

/* Turns until nothing is left to do at this instant. */
static inline void
world_settle(struct world *w)
{
	for (int i = 0, failed = 0; i < 100000 && failed < 20; i++) {
		/* a disk that gives nothing is left alone */
		failed = w->q.journal.failing ? failed + 1 : 0;
		qmgr_turn(&w->q);
		ck_assert_msg(world_balanced(w), "the ledger does not add up");
		if (!dns.slow && dns_run())
			continue;
		if (!w->q.more && w->q.journal.want_ms == UINT64_MAX)
			break;
	}
	world_drain_log();
}

static inline void
world_pass(struct world *w, uint64_t ms)
{
	now_ms += ms;
	qmgr_slow(&w->q);
	world_settle(w);
}

/* ---- writers ---- */

struct pen {
	int fd;
	uint32_t segment;
	uint64_t seed, at;
	struct id_source ids;
	uint64_t instance;
};

static struct pen given;

static void
pen_made(struct qmgr *q, struct seg *s, uint64_t instance, int fd)
{
	(void)q;
	given = (struct pen){ .fd = fd,
		.segment = s->number,
		.seed = s->seed,
		.at = SEGMENT_HEADER,
		.instance = instance };
	id_source_init(&given.ids, s->number, s->floor_ms);
}

static inline struct pen
world_lease(struct world *w, uint8_t class, uint64_t instance)
{
	given = (struct pen){ .fd = -1 };
	ck_assert(segments_lease(&w->q, class, 1, instance, pen_made));
	world_settle(w);
	ck_assert_int_ge(given.fd, 0);
	return given;
}

static inline struct seg *
pen_seg(struct world *w, const struct pen *p)
{
	return seg_find(&w->q.segtab, p->segment);
}

struct letter {
	const char *from;
	const char *to[300];
	const char *hop; /* NULL: no route in the envelope */
	const char *login, *notify, *hold;
	uint32_t generation;
	int priority;
	bool bad_seal;
	unsigned body;
	uint64_t id;
	uint64_t notice_of;
	uint8_t notice_kind;	   /* 0: of a failure */
	const char *transport;	   /* NULL: smtp */
	const char *pool;	   /* NULL: none */
	struct record_large large; /* number not 0: the body is there */
};

static inline void
put_route(struct world *w, struct buf *env, const struct letter *l, const char *to)
{
	struct route r = { .transport = SLICE_LIT("smtp"), .nhops = 1 };
	struct envelope_route e = { .generation = l->generation };
	struct buf bytes = { 0 };

	if (l->hop == NULL)
		return;
	if (l->transport != NULL)
		r.transport = slice_z(l->transport);
	if (l->pool != NULL)
		r.pool = slice_z(l->pool);
	r.domain = slice_z(strchr(to, '@') + 1);
	r.hops[0] = (struct route_hop){ .host = slice_z(l->hop), .port = 25 };
	route_put(&bytes, &r);
	e.bytes = slice_buf(&bytes);
	route_seal(w->sealer, l->generation, ROUTE_DELIVER, e.bytes, slice_z(to), e.seal);
	if (l->bad_seal)
		e.seal[3] ^= 1;
	envelope_put_route(env, &e);
	buf_fini(&bytes);
}

/* One record into *out, for the place at `offset`; returns its id. */
static inline uint64_t
letter_build(
    struct world *w, struct pen *p, const struct letter *l, uint64_t offset, struct buf *out)
{
	struct buf env = { 0 }, body = { 0 };
	struct record_parts parts = { .head = SLICE_LIT("Subject: x\r\n"),
		.arrival_ms = fake_wall_ms() };
	size_t from = out->n;

	envelope_put_text(&env, ENVELOPE_SENDER, slice_z(l->from));
	if (l->login != NULL)
		envelope_put_text(&env, ENVELOPE_LOGIN, slice_z(l->login));
	if (l->priority != 0)
		envelope_put_u8(&env, ENVELOPE_PRIORITY, (uint8_t)l->priority);
	if (l->hold != NULL)
		envelope_put_text(&env, ENVELOPE_HOLD, slice_z(l->hold));
	if (l->notice_of != 0) {
		envelope_put_u64(&env, ENVELOPE_NOTICE_OF, l->notice_of);
		envelope_put_u8(&env, ENVELOPE_NOTICE_KIND,
		    l->notice_kind != 0 ? l->notice_kind : SPOOL_NOTICE_FAILED);
		envelope_put_u32s(&env, ENVELOPE_NOTICE_RCPTS, (const uint32_t[]){ 0 }, 1);
	}
	for (unsigned i = 0; l->to[i] != NULL; i++) {
		envelope_put_text(&env, ENVELOPE_RECIPIENT, slice_z(l->to[i]));
		if (l->notify != NULL)
			envelope_put_u8(&env, ENVELOPE_NOTIFY, (uint8_t)atoi(l->notify));
		put_route(w, &env, l, l->to[i]);
		parts.nrcpt++;
	}
	if (l->large.number == 0)
		buf_puts(&body, "\r\n");
	for (unsigned i = 0; i < l->body; i += 10)
		buf_puts(&body, "abcdefgh\r\n");
	parts.envelope = slice_buf(&env);
	parts.body = slice_buf(&body);
	parts.large = l->large;
	parts.id = l->id != 0 ? l->id : id_next(&p->ids, fake_wall_ms());
	ck_assert_int_eq(record_build(out, &parts, p->seed), 0);
	record_seal(out->p + from, p->segment, offset, p->seed);
	buf_fini(&env);
	buf_fini(&body);
	return parts.id;
}

/* Appended and synced; the doorbell is not rung. */
static inline uint64_t
pen_write(struct world *w, struct pen *p, const struct letter *l)
{
	struct buf rec = { 0 };
	uint64_t id = letter_build(w, p, l, p->at, &rec);

	ck_assert_int_eq(write(p->fd, rec.p, rec.n), (ssize_t)rec.n);
	p->at += rec.n;
	buf_fini(&rec);
	return id;
}

static inline void
pen_ring(struct world *w, struct pen *p)
{
	ck_assert(intake_rung(&w->q, pen_seg(w, p), p->at));
	world_settle(w);
}

static inline uint64_t
world_send(struct world *w, struct pen *p, const char *from, const char *to)
{
	const struct letter l = { .from = from, .to = { to }, .hop = "192.0.2.1" };
	uint64_t id = pen_write(w, p, &l);

	pen_ring(w, p);
	return id;
}

/* To a domain that has a next hop of its own. */
static inline uint64_t
world_send_apart(struct world *w, struct pen *p, const char *from, const char *to)
{
	const struct letter l = { .from = from, .to = { to }, .hop = strchr(to, '@') + 1 };
	uint64_t id = pen_write(w, p, &l);

	pen_ring(w, p);
	return id;
}

/* ---- workers ---- */

static inline struct worker *
world_worker(struct world *w, uint64_t instance, uint32_t room)
{
	struct worker *k = dispatch_linked(&w->q, SERVICE_DELIVER, 1, instance, NULL);

	ck_assert_ptr_nonnull(k);
	ck_assert(dispatch_running(&w->q, k, &(struct msg_running){ .last = 1 }));
	dispatch_room(&w->q, k, room);
	world_settle(w);
	return k;
}

static inline void
job_results(struct world *w, struct told_job *t, uint8_t kind, uint16_t code)
{
	for (uint32_t i = 0; i < t->n; i++)
		ck_assert(dispatch_result(&w->q, t->worker,
		    &(struct msg_result){ .job = t->number,
			.rcpt = t->rcpt[i],
			.attempt = t->attempt[i],
			.kind = kind,
			.code = code,
			.enh_class = (uint8_t)(code / 100),
			.phase = PHASE_DOT,
			.text = SLICE_LIT("said the server") }));
}

static inline void
job_finish(struct world *w, struct told_job *t, uint8_t kind, uint16_t code)
{
	job_results(w, t, kind, code);
	ck_assert(dispatch_done(&w->q, t->worker,
	    &(struct msg_job_done){ .job = t->number, .host = SLICE_LIT("192.0.2.1") }));
	t->done = true;
	world_settle(w);
}

static inline void
job_host_down(struct world *w, struct told_job *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		ck_assert(dispatch_result(&w->q, t->worker,
		    &(struct msg_result){ .job = t->number,
			.rcpt = t->rcpt[i],
			.attempt = t->attempt[i],
			.kind = OUTCOME_TEMP,
			.phase = PHASE_CONNECT,
			.text = SLICE_LIT("refused") }));
	ck_assert(dispatch_done(
	    &w->q, t->worker, &(struct msg_job_done){ .job = t->number, .host_down = 1 }));
	t->done = true;
	world_settle(w);
}

/* As an operator writes it. False: there was nothing to do, or it means nothing. */
static inline bool
world_suspend(struct world *w, const char *what)
{
	struct suspend s;
	bool done = suspend_parse(&w->q, slice_z(what), true, &s) == NULL &&
		    operate_suspend(&w->q, &s, SLICE_LIT("me"), SLICE_LIT("why"));

	world_settle(w);
	return done;
}

static inline bool
world_resume(struct world *w, const char *what)
{
	struct suspend s;
	bool done = suspend_parse(&w->q, slice_z(what), false, &s) == NULL &&
		    operate_resume(&w->q, &s, SLICE_LIT("me"));

	world_settle(w);
	return done;
}

static inline struct recipient *
world_rcpt(struct world *w, uint64_t id, unsigned n)
{
	struct message *m = message_find(&w->q.messages, id);

	ck_assert_ptr_nonnull(m);
	return &message_rcpts(m)[n];
}

/* ---- the state as text, to compare ---- */

static inline void
world_dump(struct world *w, struct buf *out)
{
	const struct ledger *l = &w->q.ledger;
	uint32_t cursor = 0;
	struct message *m;
	struct seg *s;
	struct buf lines = { 0 };

#define T(name) buf_printf(out, #name "=%llu ", (unsigned long long)l->name);
	LEDGER_TERMS(T)
#undef T
	buf_printf(out, "queued=%llu\n", (unsigned long long)w->q.messages.recipients);
	while ((m = messages_next(&w->q.messages, &cursor)) != NULL) {
		const struct hold *h = hold_of(&w->q, m);

		s = seg_at(&w->q.segtab, m->seg);
		buf_printf(out, "%llu at %u:%llu+%llu flags %x held %s suspicion %u",
		    (unsigned long long)m->id, s->number, (unsigned long long)message_offset(m),
		    (unsigned long long)message_bytes(m), (unsigned)(m->flags & ~MESSAGE_NO_TIMER),
		    h == NULL ? "-" : h->reason, m->suspicion);
		for (unsigned i = 0; i < m->nrcpt; i++) {
			const struct recipient *r = &message_rcpts(m)[i];
			struct buf reply = { 0 };

			reply_text(&w->q, m, i, &reply);
			buf_printf(out, " [q%u s%u a%u n%u o%u due %u %.*s]",
			    r->phase == RCPT_CLOSED ? 0 : r->queue, r->state, r->attempts,
			    r->notify, r->owed, r->phase == RCPT_CLOSED ? 0 : r->due,
			    SLICE_ARG(slice_buf(&reply)));
			buf_fini(&reply);
		}
		buf_putc(out, '\n');
	}
	cursor = 0;
	while ((s = segtab_next(&w->q.segtab, &cursor)) != NULL)
		if (s->state != SEG_FREED)
			buf_printf(out, "segment %u class %u filed %llu live %llu/%llu\n",
			    s->number, s->class, (unsigned long long)s->filed,
			    (unsigned long long)s->live, (unsigned long long)s->live_bytes);
	buf_fini(&lines);
}

#endif
