/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_CLIENT_H
#define SMTPD_CLIENT_H

#include "io/conn.h"
#include "smtpd/limits.h"
#include "smtpd/session.h"

/* A connected client: its connection and its session, bound together. */
struct client;

/* All clients of a worker. */
struct clients {
	struct loop *loop;
	struct session_world *world;
	const struct conf *conf; /* newest generation: new sessions take a reference */
	struct limits *limits;
	unsigned worker;
	struct client *first;
	unsigned n;
	bool finishing;
};

/*
 * Takes fd. uid NULL: a client of the network, else the user that came by the local socket.
 * listener: the name of its listen section; NULL: none.
 */
void client_accept(struct clients *all, int fd, const struct addr *peer, const uint32_t *uid,
    const char *listener);
/* Limits for each client are not for it. */
bool client_is_exempt(const struct session *s);
/* New ones are refused, idle ones end now, others when their message is stored. */
void clients_finish(struct clients *all);
/* Whoever is still sending is cut off. Messages under way to the disk stay. */
void clients_cut(struct clients *all);

#endif
