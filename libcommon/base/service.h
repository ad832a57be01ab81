/* SPDX-License-Identifier: ISC */
#ifndef BASE_SERVICE_H
#define BASE_SERVICE_H

#include <stdint.h>

/* clang-format off */
/*
 * The house: one user, one service. NAME, word, user (its group has the same name), index. The
 * index is the distance from `id_base` where the users are not installed; it is never reused.
 * Services whose code is not there yet have their rows all the same: users, numbers and folder
 * names are fixed from the first version.
 */
#define SERVICES(S)                              \
	S(SMTPD, "smtpd", "_angsmtpd", 0)        \
	S(KEYS, "smtpd-keys", "_angkeys", 1)     \
	S(AUTH, "smtpd-auth", "_angauth", 2)     \
	S(QMGR, "qmgr", "_angqmgr", 3)           \
	S(ROUTER, "router", "_angroute", 4)      \
	S(DELIVER, "deliver", "_angdeliver", 5)  \
	S(LOCAL, "local", "_anglocal", 6)        \
	S(DNSCACHE, "dnscache", "_angdns", 7)    \
	S(BOUNCED, "bounced", "_angbounce", 8)   \
	S(LOGD, "logd", "_anglog", 9)
/* clang-format on */

enum service {
#define S(NAME, word, user, index) SERVICE_##NAME = index,
	SERVICES(S)
#undef S
	    SERVICE_COUNT,
	SERVICE_CTL = SERVICE_COUNT, /* whoever holds a command's end of a control socket */
	SERVICE_NONE = 255,
};

/* Groups without a service: their indices follow. */
enum { GROUP_ADM = SERVICE_COUNT, GROUP_DROP = SERVICE_COUNT + 1, ID_COUNT = SERVICE_COUNT + 2 };
#define GROUP_ADM_NAME "_angadm"
#define GROUP_DROP_NAME "_angdrop"

const char *service_word(enum service s); /* "qmgr"; "?" out of range */
const char *service_user(enum service s);
enum service service_of(const char *word); /* SERVICE_NONE when there is none */

/*
 * The class of a writer, journalled in its lease: what its records may claim depends on it
 * (QUEUE.md rule 3). Numbers are on disk and in messages.
 */
enum origin_class { CLASS_MX = 1, CLASS_SUBMISSION = 2, CLASS_LOCAL = 3, CLASS_BOUNCED = 4 };
const char *class_word(uint8_t c); /* "mx" */

#endif
