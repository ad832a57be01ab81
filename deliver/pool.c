/* SPDX-License-Identifier: ISC */
#include "deliver/pool.h"

#include "base/die.h"
#include "deliver/content.h"
#include "priv/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, TRIES_DEFAULT = 5 };

/* Idle connections to one host, the latest used first. */
struct pool_site {
	struct pool_site *next;
	struct buf key;
	struct session *idle;
	unsigned nidle;
};

struct pool {
	struct session_params params;
	char helo[256];
	void (*ended)(struct delivery *, void *);
	void (*gone)(uint32_t queue, void *arg);
	void *arg;
	unsigned ntold; /* idle ones that qmgr counts */
	unsigned idle_max;
	struct pool_site *buckets[BUCKETS];
	struct session *oldest, *newest; /* idle, by when they were used last */
	struct pool_stats stats;
};

/* The host, by its name too (a certificate is for a name), and by what and from where it is reached. */
static void
site_key(const struct delivery *d, struct buf *key)
{
	struct route r = {
		.transport = d->route.transport, .pool = d->route.pool, .tenant = d->route.tenant
	};

	route_put(key, &r);
	job_host_put(key, &d->hosts[d->hop]);
	buf_put(key, d->source.host, sizeof d->source.host);
}

static struct pool_site *
site_of(struct pool *p, const struct delivery *d, bool make)
{
	static struct buf key;
	struct pool_site *site, **head;

	buf_reset(&key);
	site_key(d, &key);
	head = &p->buckets[slice_ihash(slice_buf(&key)) % BUCKETS];
	for (site = *head; site != NULL; site = site->next)
		if (slice_eq(slice_buf(&site->key), slice_buf(&key)))
			return site;
	if (!make)
		return NULL;
	site = xcalloc(1, sizeof *site);
	buf_slice(&site->key, slice_buf(&key));
	site->next = *head;
	*head = site;
	return site;
}

static void
age_add(struct pool *p, struct session *s)
{
	session_hang(s)->older = p->newest;
	if (p->newest != NULL)
		session_hang(p->newest)->newer = s;
	else
		p->oldest = s;
	p->newest = s;
}

static void
age_remove(struct pool *p, struct session *s)
{
	const struct session_hang *h = session_hang(s);

	if (h->older != NULL)
		session_hang(h->older)->newer = h->newer;
	else
		p->oldest = h->newer;
	if (h->newer != NULL)
		session_hang(h->newer)->older = h->older;
	else
		p->newest = h->older;
}

/* A site without idle connections is given up: sites come and go with the destinations. */
static void
unhang(struct pool *p, struct session *s)
{
	struct session_hang *h = session_hang(s);
	struct pool_site *site = h->site, **at;

	if (h->prev != NULL)
		session_hang(h->prev)->next = h->next;
	else
		site->idle = h->next;
	if (h->next != NULL)
		session_hang(h->next)->prev = h->prev;
	age_remove(p, s);
	p->ntold -= h->tell;
	*h = (struct session_hang){ 0 };
	p->stats.idle--;
	if (--site->nidle > 0)
		return;
	at = &p->buckets[slice_ihash(slice_buf(&site->key)) % BUCKETS];
	while (*at != site)
		at = &(*at)->next;
	*at = site->next;
	buf_fini(&site->key);
	free(site);
}

static void
hang(struct pool *p, struct session *s, const struct delivery *d)
{
	struct pool_site *site = site_of(p, d, true);
	struct session_hang *h = session_hang(s);

	*h = (struct session_hang){ .next = site->idle,
		.site = site,
		.queue = d->queue,
		.tell = d->limits.tell != 0 && p->gone != NULL };
	p->ntold += h->tell;
	if (site->idle != NULL)
		session_hang(site->idle)->prev = s;
	site->idle = s;
	age_add(p, s);
	site->nidle++;
	p->stats.idle++;
}

/* It is none for jobs any more, and a connection until the server has ended it. */
static void
part(struct pool *p, struct session *s)
{
	const struct session_hang was = *session_hang(s);

	unhang(p, s);
	*session_hang(s) = (struct session_hang){ .queue = was.queue, .tell = was.tell };
	session_part(s);
}

/* It is used, or ends. */
static void
unhang_told(struct pool *p, struct session *s)
{
	const struct session_hang was = *session_hang(s);

	unhang(p, s);
	if (was.tell)
		p->gone(was.queue, p->arg);
}

static void
finish(struct delivery *d)
{
	struct pool *p = d->owner;

	if (d->loading) {
		d->ends_when_loaded = true;
		return;
	}
	loader_unload(p->params.loader, d);
	d->state = JOB_ENDED;
	p->stats.busy--;
	p->ended(d, p->arg);
}

/*
 * No host is left to this attempt: what the last one came to holds. Not if it was "no mail here"
 * (RFC 7504) while another may have said something else: TEMP then.
 */
static void
give_up(struct delivery *d, const struct failure *f, bool down)
{
	struct failure last = *f;

	if (f->kind == OUTCOME_PERM && d->doubt.set) {
		last = (struct failure){ .kind = OUTCOME_TEMP,
			.phase = (enum delivery_phase)d->doubt.phase,
			.code = d->doubt.code,
			.text = slice_z(d->doubt.text) };
		memcpy(last.enh, d->doubt.enh, sizeof last.enh);
	} else if (f->kind == OUTCOME_PERM && d->hop + 1 < d->nhosts) {
		last.kind = OUTCOME_TEMP;
		last.enh[0] = 4;
	}
	d->host_down = down;
	delivery_end_open(d, last.kind, last.phase, last.code, last.enh, last.text);
	finish(d);
}

/* The present host is done with. `silent`: it gave no greeting, and may rest. */
static void
note_failed(struct delivery *d, const struct failure *f, bool silent)
{
	const struct job_host *h = &d->hosts[d->hop];

	if (silent) {
		struct job_failed put = { .port = h->port };
		struct buf text = { 0 };

		if (f->code != 0)
			buf_printf(&text, "%u ", f->code);
		buf_slice(&text, f->text);
		put.text = slice_buf(&text);
		memcpy(put.ip, h->ip, sizeof put.ip);
		job_failed_put(&d->failed, &put);
		buf_fini(&text);
	}
	if (f->kind != OUTCOME_TEMP || d->doubt.set)
		return;
	d->doubt = (struct doubt){ .set = true, .phase = (uint8_t)f->phase, .code = f->code };
	memcpy(d->doubt.enh, f->enh, sizeof d->doubt.enh);
	slice_copy(
	    slice_head(f->text, sizeof d->doubt.text - 1), d->doubt.text, sizeof d->doubt.text);
}

/* To the next host, if there is one and this attempt may. */
static bool
go_on(struct delivery *d)
{
	if (d->hop + 1 >= d->nhosts ||
	    d->tries >= (d->limits.tries != 0 ? d->limits.tries : TRIES_DEFAULT))
		return false;
	d->hop++;
	return true;
}

static void
open_session(struct pool *p, struct delivery *d)
{
	for (;;) {
		const struct verdict *v = verdict(PHASE_CONNECT, CONN_LOST);
		struct failure f = { .kind = v->kind, .phase = PHASE_CONNECT };
		bool ours;

		d->tries++;
		if (session_open(&p->params, d) != NULL) {
			p->stats.opened++;
			d->opened++;
			return;
		}
		ours = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
		f.text = slice_z(strerror(errno));
		memcpy(f.enh, v->enh, 3);
		note_failed(d, &f, !ours);
		if (ours || !go_on(d)) {
			give_up(d, &f, !ours);
			return;
		}
	}
}

static void
idle_ended(struct session *s, void *arg)
{
	struct pool *p = arg;
	const struct session_hang *h = session_hang(s);

	if (h->site != NULL)
		unhang_told(p, s);
	else if (h->tell)
		p->gone(h->queue, p->arg);
}

static void
idle_expired(struct session *s, void *arg)
{
	if (session_hang(s)->tell) {
		part(arg, s);
		return;
	}
	unhang(arg, s);
	session_quit(s);
}

/* The job has its conclusion, and its connection stays, for others or for as long as QUIT takes. */
static void
idle(struct pool *p, struct session *s, struct delivery *d)
{
	struct session_hang *h = session_hang(s);

	if (session_is_parting(s))
		*h = (struct session_hang){ .queue = d->queue,
			.tell = d->limits.tell != 0 && p->gone != NULL };
	else
		hang(p, s, d);
	/* JOB_DONE that comes later would tell of it when it may be gone. */
	if (d->loading && h->tell) {
		p->ntold -= h->site != NULL;
		h->tell = false;
	}
	d->kept = !h->tell ? 0 : session_is_parting(s) ? 2 : 1;
}

static void
left(struct session *s, struct delivery *d, enum session_left how, const struct failure *f,
    bool closed, void *arg)
{
	struct pool *p = arg;

	switch (how) {
	case LEFT_DONE:
		if (!closed)
			idle(p, s, d);
		finish(d);
		/* Not this one: what was used just now is the likeliest to be used again. */
		if (p->stats.idle > p->idle_max)
			idle_expired(p->oldest, p);
		break;
	case LEFT_STALE:
		open_session(p, d);
		break;
	case LEFT_NEXT_HOP:
		note_failed(d, f, f->kind == OUTCOME_TEMP && f->phase <= PHASE_EHLO);
		if (go_on(d))
			open_session(p, d);
		else
			give_up(d, f, f->kind == OUTCOME_TEMP && f->phase <= PHASE_EHLO);
		break;
	}
}

static const struct session_owner owner = {
	.left = left, .idle_ended = idle_ended, .idle_expired = idle_expired
};

struct pool *
pool_new(struct loop *l, struct loader *loader, const char *helo,
    void (*ended)(struct delivery *, void *), void *arg)
{
	struct pool *p = xcalloc(1, sizeof *p);

	p->params = (struct session_params){
		.loop = l, .loader = loader, .helo = p->helo, .owner = &owner, .arg = p
	};
	p->ended = ended;
	p->arg = arg;
	/* The other two thirds are for jobs, and for those that have said QUIT. */
	p->idle_max = sandbox_descriptors() / 3;
	pool_set_helo(p, helo);
	return p;
}

void
pool_tell(struct pool *p, void (*gone)(uint32_t queue, void *arg))
{
	p->gone = gone;
}

void
pool_set_helo(struct pool *p, const char *helo)
{
	slice_copy(slice_z(helo), p->helo, sizeof p->helo);
}

void
pool_close(struct pool *p, uint32_t queue)
{
	for (unsigned i = 0; p->ntold > 0 && i < BUCKETS; i++)
		for (struct pool_site *site = p->buckets[i]; site != NULL; site = site->next)
			for (struct session *s = site->idle; s != NULL; s = session_hang(s)->next) {
				const struct session_hang *h = session_hang(s);

				if (!h->tell || h->queue != queue)
					continue;
				part(p, s);
				return;
			}
}

/* The job takes an idle connection; qmgr is told whose it was. */
static void
take(struct pool *p, struct session *s, struct delivery *d)
{
	const struct session_hang *h = session_hang(s);

	d->took = h->tell && h->queue == d->queue;
	if (d->took)
		unhang(p, s);
	else
		unhang_told(p, s);
	p->stats.reused++;
	session_take(s, d);
}

/*
 * For a queue whose connections are counted: one that is open already, to whichever of its hosts,
 * is better than one more.
 */
static struct pool_site *
any_site(struct pool *p, struct delivery *d)
{
	struct pool_site *site;

	for (d->hop = 0; d->hop < d->nhosts; d->hop++)
		if ((site = site_of(p, d, false)) != NULL)
			return site;
	d->hop = 0;
	return NULL;
}

void
pool_start(struct pool *p, struct delivery *d)
{
	struct pool_site *site =
	    d->limits.tell != 0 && p->ntold > 0 ? any_site(p, d) : site_of(p, d, false);

	d->ended_fn = finish;
	d->owner = p;
	p->stats.jobs++;
	p->stats.busy++;
	if (site != NULL) {
		take(p, site->idle, d);
		return;
	}
	if (d->limits.tell != 0) /* what is kept for the queue serves it no more */
		pool_close(p, d->queue);
	open_session(p, d);
}

void
pool_quit_idle(struct pool *p)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		while (p->buckets[i] != NULL) {
			struct session *s = p->buckets[i]->idle;

			unhang_told(p, s);
			session_quit(s);
		}
}

const struct pool_stats *
pool_stats(const struct pool *p)
{
	return &p->stats;
}
