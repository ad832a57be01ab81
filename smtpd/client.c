/* SPDX-License-Identifier: ISC */
#include "smtpd/client.h"

#include "base/die.h"

#include <stdlib.h>
#include <string.h>

enum { IN_MAX = 64 * 1024 }; /* unread bytes of a client that sends ahead while it has to wait */

struct client {
	struct session session;
	struct clients *all;
	struct client *next, **prev;
	struct conn *conn; /* NULL: has ended, freed at the end of the turn */
	struct deferred free, over;
	unsigned place; /* among the limits */
	bool told;	/* connect was told, so disconnect will be */
	bool wants_pause, full;
	bool said_all; /* its end has come in while an answer was awaited */
};

static void
pause_as_wished(struct client *c)
{
	conn_pause(c->conn, c->wants_pause || c->full || c->said_all);
}

static struct slice
io_in(void *io)
{
	struct client *c = io;

	if (c->said_all) /* it wants more than what has come: there is no more */
		loop_defer(c->all->loop, &c->over);
	return conn_in(c->conn);
}

static void
io_take(void *io, size_t n)
{
	struct client *c = io;

	conn_take(c->conn, n);
	if (c->full && conn_in(c->conn).n < IN_MAX) {
		c->full = false;
		pause_as_wished(c);
	}
}

static struct buf *
io_out(void *io)
{
	struct client *c = io;

	return conn_out(c->conn);
}

static size_t
io_pending(void *io)
{
	struct client *c = io;

	return conn_pending(c->conn);
}

static void
io_deadline(void *io, uint64_t ms)
{
	struct client *c = io;

	conn_deadline(c->conn, ms);
}

static void
io_pause(void *io, bool pause)
{
	struct client *c = io;

	c->wants_pause = pause;
	pause_as_wished(c);
}

static void
free_client(void *arg)
{
	free(arg);
}

static void
end(struct client *c)
{
	struct session *s = &c->session;

	if (c->told)
		tell_disconnect(s);
	limits_leave(c->all->limits, c->all->worker, c->place);
	session_fini(s);
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->all->n--;
	c->conn = NULL;
	/* Callers up the stack may still look at it in this turn. */
	loop_defer(c->all->loop, &c->free);
}

static void
io_hold(void *io, bool hold)
{
	struct client *c = io;

	conn_hold(c->conn, hold);
}

static void
io_hang_up(void *io)
{
	struct client *c = io;
	struct conn *conn = c->conn;

	end(c);
	conn_finish(conn);
}

static const struct session_io ops = { .in = io_in,
	.take = io_take,
	.out = io_out,
	.pending = io_pending,
	.deadline = io_deadline,
	.pause = io_pause,
	.hold = io_hold,
	.hang_up = io_hang_up };

static void
on_input(struct conn *conn, void *arg)
{
	struct client *c = arg;

	session_run(&c->session);
	if (c->conn != NULL && !c->full && conn_in(conn).n > IN_MAX) {
		c->full = true;
		pause_as_wished(c);
	}
}

/* What it had sent was served as far as it goes. */
static void
all_served(void *arg)
{
	struct client *c = arg;

	if (c->conn == NULL || session_is_asking(&c->session))
		return;
	c->session.tell.end = "lost connection";
	io_hang_up(c);
}

/* A client may end its half of the connection and listen on: `printf ... | nc`, sendmail -bs. */
static void
on_closed(struct conn *conn, int err, void *arg)
{
	struct client *c = arg;

	if (err == 0 && session_is_asking(&c->session)) {
		c->said_all = true;
		pause_as_wished(c);
		return;
	}
	c->session.tell.end = "lost connection";
	end(c);
	conn_free(conn);
}

static void
on_expired(struct conn *conn, void *arg)
{
	struct client *c = arg;

	(void)conn;
	session_expired(&c->session);
}

/* A command that waits since the client did not read its replies can now be taken. */
static void
on_drained(struct conn *conn, void *arg)
{
	struct client *c = arg;

	if (conn_in(conn).n > 0)
		session_run(&c->session);
}

static const struct conn_ops conn_ops = {
	.input = on_input, .closed = on_closed, .expired = on_expired, .drained = on_drained
};

bool
client_is_exempt(const struct session *s)
{
	return s->by_user ? s->uid == 0 : conf_in_nets(&s->conf->sessions_exempt, s->client.host);
}

/* What the listener gives to mail that brings no priority. Few listeners: looked through. */
static int8_t
priority_of(const struct conf *c, const char *listener)
{
	for (size_t i = 0; listener != NULL && i < c->nlisten; i++)
		if (strcmp(c->listen[i].name, listener) == 0)
			return (int8_t)c->listen[i].priority;
	return 0;
}

void
client_accept(
    struct clients *all, int fd, const struct addr *peer, const uint32_t *uid, const char *listener)
{
	struct client *c = xcalloc(1, sizeof *c);
	struct session *s = &c->session;
	struct limits_count now;

	*c = (struct client){ .all = all, .next = all->first, .prev = &all->first };
	c->free = (struct deferred){ .fn = free_client, .arg = c };
	c->over = (struct deferred){ .fn = all_served, .arg = c };
	if (all->first != NULL)
		all->first->prev = &c->next;
	all->first = c;
	all->n++;
	session_init(s, all->world, &ops, c, conf_ref(all->conf));
	s->client = *peer;
	s->priority = priority_of(all->conf, listener);
	if (uid != NULL) {
		s->client = (struct addr){ 0 };
		s->by_user = true;
		s->uid = *uid;
	}
	c->conn = conn_new(all->loop, fd, &conn_ops, c);
	c->place = limits_enter(all->limits, all->worker,
	    uid != NULL ? limits_uid(*uid) : limits_client(peer->host), &now);
	if (all->finishing)
		session_turn_away(s, REPLY_SHUTDOWN);
	else if (now.all > s->conf->sessions_max)
		session_turn_away(s, REPLY_TOO_MANY_SESSIONS);
	else if (now.of_client > s->conf->sessions_per_client && !client_is_exempt(s))
		session_turn_away(s, REPLY_TOO_MANY_FROM_CLIENT);
	else if (!all->world->rate(all->world->arg, s, RATE_CONNECTION))
		session_turn_away(s, REPLY_TOO_OFTEN);
	else {
		c->told = true;
		tell_connect(s);
		session_greet(s);
	}
}

void
clients_finish(struct clients *all)
{
	struct client *next;

	all->finishing = true;
	for (struct client *c = all->first; c != NULL; c = next) {
		next = c->next;
		session_finish(&c->session);
	}
}

void
clients_cut(struct clients *all)
{
	struct client *next;

	for (struct client *c = all->first; c != NULL; c = next) {
		next = c->next;
		if (c->session.phase == SESSION_BODY || c->session.phase == SESSION_DISCARD)
			session_turn_away(&c->session, REPLY_SHUTDOWN);
	}
}
