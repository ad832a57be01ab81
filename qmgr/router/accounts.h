/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_ACCOUNTS_H
#define ROUTER_ACCOUNTS_H

#include "io/loop.h"
#include "qmgr/router/directory.h"

/*
 * The users of the system, asked of getpwnam_r(3) on threads, since that may block. Answers are
 * kept for a short time: who exists for a minute, who does not for ten seconds.
 */
struct accounts;

enum { ACCOUNTS_THREADS = 4, ACCOUNTS_WAITING_MAX = 256, ACCOUNTS_NAME_MAX = 64 };

/*
 * answered(arg, name): a name that was FOUND_LATER can be asked for again. Without a loop it asks
 * at once, in the caller's thread (tests).
 */
struct accounts *accounts_new(
    struct loop *l, void (*answered)(void *arg, struct slice name), void *arg);
void accounts_free(struct accounts *a);
/* Before the sandbox: what the C library needs to know of its sources is read and loaded. */
void accounts_prepare(struct accounts *a);

/* FOUND_LATER until answered() was told the name (in small letters); FOUND_ERROR also when too many
 * names are being asked for. */
enum found accounts_find(struct accounts *a, struct slice name, uint32_t *uid);
unsigned accounts_asked(const struct accounts *a); /* names a thread is at or will be */

#endif
