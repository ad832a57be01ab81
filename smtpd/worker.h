/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_WORKER_H
#define SMTPD_WORKER_H

#include "conf/conf.h"
#include "priv/daemon.h"
#include "smtpd/limits.h"

#include <sys/types.h>

enum { WORKER_LISTEN_MAX = 64 };

/* What a worker is born with, out of its parent's memory. */
struct worker_birth {
	struct daemon *daemon;
	const struct conf *conf; /* the parent's newest */
	struct limits *limits;
	struct rates *rates;
	unsigned workers; /* of all classes */
	unsigned nlisten;
	struct worker_listen {
		int fd;
		uint8_t class;
		bool is_socket;	  /* the local submission socket */
		const char *name; /* of its section; NULL: none */
	} listen[WORKER_LISTEN_MAX];
	int drop_fd; /* the drop folder, -1: none */
};

/* In the child: enters its sandbox, serves, does not return. */
_Noreturn void worker_run(struct worker_birth *birth, unsigned number, uint8_t class, int pair_fd);

#endif
