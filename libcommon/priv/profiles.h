/* SPDX-License-Identifier: ISC */
#ifndef PRIV_PROFILES_H
#define PRIV_PROFILES_H

#include "base/service.h"

#include <stdint.h>

/*
 * THE table of sandboxes: one row for each kind of process. Which system calls a word stands for is
 * told in calls.c.
 */

/* Folders that a row may have rules for, handed over as open descriptors. */
enum sandbox_dir {
	SANDBOX_CONF,
	SANDBOX_SPOOL,
	SANDBOX_DROP,
	SANDBOX_LOG,
	SANDBOX_RULES, /* the folder of bounce_rules */
	SANDBOX_HOME,  /* local: the tree, see landlock.h; its children: one recipient's folder */
	SANDBOX_CACHE,
	SANDBOX_DIR_COUNT
};

/* What may be done beneath a folder (Landlock). Nothing is ever executed. */
enum sandbox_access {
	BENEATH_NO,
	BENEATH_READ, /* list, open for reading */
	BENEATH_TAKE, /* and unlink */
	BENEATH_LOG,  /* list, open for reading, create, append */
	BENEATH_KEEP, /* and create, write, cut, rename: the owner of what is there */
};

/* Words for groups of system calls. */
enum sandbox_calls {
	CALLS_CORE = 1 << 0,	/* memory, events, own descriptors, messages, time, exit */
	CALLS_THREAD = 1 << 1,	/* start helper threads */
	CALLS_ACCEPT = 1 << 2,	/* accept on listening sockets held since before */
	CALLS_APPEND = 1 << 3,	/* sync what write and writev appended; look at free space */
	CALLS_DIAL = 1 << 4,	/* connect to edges: AF_UNIX, SOCK_SEQPACKET */
	CALLS_TCP = 1 << 5,	/* connect outwards: AF_INET and AF_INET6, SOCK_STREAM */
	CALLS_SEND = 1 << 6,	/* passed files into sockets */
	CALLS_OPEN = 1 << 7,	/* open for reading, list (Landlock says where) */
	CALLS_UNLINK = 1 << 8,	/* remove a name */
	CALLS_KEEP = 1 << 9,	/* create, write at offsets, cut, rename, sync */
	CALLS_SPOOL = 1 << 10,	/* reserve blocks, leases and locks on files */
	CALLS_FORK = 1 << 11,	/* have children: fork, kill, wait */
	CALLS_ENTER = 1 << 12,	/* enter a further sandbox: for the child */
	CALLS_BECOME = 1 << 13, /* become another user, never root; children end by the clock */
	CALLS_UNIX = 1 << 14,	/* connect to Unix stream sockets: LMTP, name services */
	CALLS_HOME = 1 << 15,	/* links and locks of mailboxes */
	CALLS_UDP = 1 << 16,	/* ask outwards: AF_INET and AF_INET6, SOCK_DGRAM */
	CALLS_FOLDER = 1 << 17, /* a thread with a working folder of its own, held since before */
	CALLS_NAMES = 1 << 18,	/* users from files: what the C library does beside reading them */
	CALLS_LOG = 1 << 19,	/* create files and append to them; datagrams to a syslog */
};

enum sandbox_tcp { TCP_NO, TCP_CONNECT };

#define CALLS_SMTPD (CALLS_CORE | CALLS_THREAD | CALLS_ACCEPT | CALLS_APPEND)
#define CALLS_SMTPD_LOCAL (CALLS_SMTPD | CALLS_OPEN | CALLS_UNLINK)
#define CALLS_DELIVER (CALLS_CORE | CALLS_THREAD | CALLS_TCP | CALLS_SEND)
#define CALLS_SERVICE (CALLS_CORE | CALLS_ACCEPT | CALLS_DIAL | CALLS_OPEN)
#define CALLS_QMGR (CALLS_SERVICE | CALLS_THREAD | CALLS_UNLINK | CALLS_KEEP | CALLS_SPOOL)
#define CALLS_LOGD (CALLS_CORE | CALLS_ACCEPT | CALLS_OPEN | CALLS_LOG)
#define CALLS_BOUNCED (CALLS_SERVICE | CALLS_THREAD | CALLS_APPEND)
#define CALLS_LOCAL_CHILD (CALLS_CORE | CALLS_OPEN | CALLS_UNLINK | CALLS_KEEP | CALLS_HOME)
#define CALLS_LOCAL \
	(CALLS_LOCAL_CHILD | CALLS_DELIVER | CALLS_UNIX | CALLS_FORK | CALLS_ENTER | CALLS_BECOME)
#define CALLS_DNSCACHE                                                                      \
	(CALLS_SERVICE | CALLS_THREAD | CALLS_TCP | CALLS_UDP | CALLS_UNLINK | CALLS_KEEP | \
	    CALLS_FOLDER)
#define CALLS_PARENT (CALLS_SERVICE | CALLS_FORK | CALLS_ENTER)

/*
 * NAME, word, service, parent (itself: started by init), calls;
 * beneath conf, spool, drop, log; TCP;
 * limits: descriptors, file size in MiB, address space in MiB (0: none);
 * then, where there are any, members for the folders that few have rules for.
 *
 * A parent's row contains what its workers' rows contain, since they enter theirs within it;
 * parents parse nothing from outside. Their limits are soft, so that workers can have more.
 */
#define PROFILES(P)                                                                                \
	P(SMTPD_PARENT, "smtpd-parent", SMTPD, SMTPD_PARENT, CALLS_PARENT | CALLS_SMTPD_LOCAL,     \
	    READ, NO, TAKE, NO, NO, 4096, 4096, 2048)                                              \
	P(SMTPD_WORKER, "smtpd-worker", SMTPD, SMTPD_PARENT, CALLS_SMTPD, NO, NO, NO, NO, NO,      \
	    19000, 4096, 2048)                                                                     \
	P(SMTPD_LOCAL, "smtpd-local", SMTPD, SMTPD_PARENT, CALLS_SMTPD_LOCAL, NO, NO, TAKE, NO,    \
	    NO, 19000, 4096, 2048)                                                                 \
	P(QMGR, "qmgr", QMGR, QMGR, CALLS_QMGR, READ, KEEP, NO, NO, NO, 20000, 0, 0)               \
	P(ROUTER, "router", ROUTER, ROUTER, CALLS_SERVICE | CALLS_THREAD | CALLS_NAMES, READ, NO,  \
	    NO, NO, NO, 1024, 64, 1024)                                                            \
	P(DELIVER_PARENT, "deliver-parent", DELIVER, DELIVER_PARENT, CALLS_PARENT | CALLS_DELIVER, \
	    READ, NO, NO, NO, CONNECT, 4096, 64, 2048)                                             \
	P(DELIVER_WORKER, "deliver-worker", DELIVER, DELIVER_PARENT, CALLS_DELIVER, NO, NO, NO,    \
	    NO, CONNECT, 19000, 64, 2048)                                                          \
	P(BOUNCED, "bounced", BOUNCED, BOUNCED, CALLS_BOUNCED, READ, NO, NO, NO, NO, 256, 4096,    \
	    1024, .beneath[SANDBOX_RULES] = BENEATH_READ)                                          \
	P(LOCAL_PARENT, "local-parent", LOCAL, LOCAL_PARENT, CALLS_PARENT | CALLS_LOCAL, READ, NO, \
	    NO, NO, CONNECT, 4096, 0, 0, .beneath[SANDBOX_HOME] = BENEATH_KEEP)                    \
	P(LOCAL_WORKER, "local-worker", LOCAL, LOCAL_PARENT, CALLS_LOCAL, NO, NO, NO, NO, CONNECT, \
	    4096, 0, 0, .beneath[SANDBOX_HOME] = BENEATH_KEEP)                                     \
	P(LOCAL_CHILD, "local-child", LOCAL, LOCAL_PARENT, CALLS_LOCAL_CHILD, NO, NO, NO, NO, NO,  \
	    64, 0, 0, .beneath[SANDBOX_HOME] = BENEATH_KEEP)                                       \
	P(DNSCACHE, "dnscache", DNSCACHE, DNSCACHE, CALLS_DNSCACHE, READ, NO, NO, NO, CONNECT,     \
	    1024, 1024, 1024, .beneath[SANDBOX_CACHE] = BENEATH_KEEP)                              \
	P(LOGD, "logd", LOGD, LOGD, CALLS_LOGD, READ, NO, NO, LOG, NO, 4096, 0, 1024)

enum profile {
#define P(NAME, ...) PROFILE_##NAME,
	PROFILES(P)
#undef P
	    PROFILE_COUNT
};

struct profile_row {
	const char *word;
	enum service service;
	enum profile parent;
	unsigned calls; /* of enum sandbox_calls */
	enum sandbox_access beneath[SANDBOX_DIR_COUNT];
	enum sandbox_tcp tcp;
	uint32_t nofile, fsize_mib, as_mib;
};

const struct profile_row *profile_row(enum profile p);
/* The row that init starts for this service; PROFILE_COUNT when it has none yet. */
enum profile profile_of_service(enum service s);

#endif
