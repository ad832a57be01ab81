/* SPDX-License-Identifier: ISC */
#ifndef SMTP_PARAM_H
#define SMTP_PARAM_H

#include "smtp/ext.h"

/*
 * Parameters of MAIL and RCPT (RFC 5321 section 4.1.2; SIZE RFC 1870, BODY RFC 6152 and 3030, RET,
 * ENVID, NOTIFY, ORCPT RFC 3461, AUTH RFC 4954, SMTPUTF8 RFC 6531, MT-PRIORITY RFC 6710, REQUIRETLS RFC 8689). Each is
 * known only where its extension is among those offered.
 */
enum param_result {
	PARAM_OK,
	PARAM_SYNTAX,	 /* 501 5.5.4: no parameter, or a value against its grammar */
	PARAM_UNKNOWN,	 /* 555 5.5.4: none of those that are offered */
	PARAM_DUPLICATE, /* 555 5.5.4: said twice, which we do not implement */
};

/* Numbers are on disk and in messages. */
enum param_body { PARAM_BODY_7BIT = 0, PARAM_BODY_8BIT = 1, PARAM_BODY_BINARY = 2 };
enum param_ret { PARAM_RET_NONE = 0, PARAM_RET_FULL = 1, PARAM_RET_HDRS = 2 };
enum param_notify {
	PARAM_NOTIFY_NONE = 0, /* not said: failure and perhaps delay */
	PARAM_NOTIFY_NEVER = 1,
	PARAM_NOTIFY_SUCCESS = 2,
	PARAM_NOTIFY_FAILURE = 4,
	PARAM_NOTIFY_DELAY = 8,
};

enum { PARAM_PRIORITY_MAX = 9 }; /* and the same below zero */
enum { PARAM_ENVID_MAX = 100, PARAM_ORCPT_MAX = 500, PARAM_AUTH_MAX = 500 };

/* The slices point into what was parsed and are checked, still in xtext, ready to be passed on. */
struct mail_params {
	uint64_t size_bytes; /* 0: not said (or said to be 0); UINT64_MAX: more than that */
	enum param_body body;
	enum param_ret ret;
	struct slice envid; /* xtext; p == NULL: not said */
	struct slice auth;  /* xtext of an address, or "<>"; p == NULL: not said */
	bool smtputf8;
	bool requiretls;
	bool has_priority;
	int8_t priority; /* -9 to 9 */
};

struct rcpt_params {
	uint8_t notify;	    /* bits of enum param_notify */
	struct slice orcpt; /* addr-type ";" xtext; p == NULL: not said */
};

/*
 * Takes all that follows the path: nothing, or blanks and parameters. `offered` has bits of enum
 * ext. A bad parameter anywhere wins over an unknown one before it, so that 555 means: had all been
 * offered, it would have been right.
 */
enum param_result param_parse_mail(struct slice in, unsigned offered, struct mail_params *out);
enum param_result param_parse_rcpt(struct slice in, unsigned offered, struct rcpt_params *out);

/* "NEVER" or "SUCCESS,FAILURE,DELAY" alone: for those who take it from a command line or a file. */
bool param_notify_parse(struct slice value, uint8_t *notify);
/* The same as text, a static string; "" for PARAM_NOTIFY_NONE and for no possible set. */
const char *param_notify_word(uint8_t notify);
/* "rfc822;xtext": grammar and length. */
bool param_orcpt_valid(struct slice value, bool utf8);
/* xtext of printable ASCII, not empty, not beyond PARAM_ENVID_MAX. */
bool param_envid_valid(struct slice value);

#endif
