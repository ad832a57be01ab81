/* SPDX-License-Identifier: ISC */
#ifndef CTL_SENDMAIL_OPTIONS_H
#define CTL_SENDMAIL_OPTIONS_H

#include "base/slice.h"

/* The command line of sendmail(8) and of the names it goes by. Pure: no file, no environment. */
enum sendmail_mode {
	SENDMAIL_SUBMIT,      /* -bm, the default; rmail */
	SENDMAIL_SMTP,	      /* -bs */
	SENDMAIL_VERIFY,      /* -bv */
	SENDMAIL_QUEUE,	      /* -bp; mailq */
	SENDMAIL_FLUSH,	      /* -q, -qf, -qI, -qR, -qS; runq */
	SENDMAIL_ALIASES,     /* -bi, -I; newaliases */
	SENDMAIL_DAEMON,      /* -bd, -bD, -bl */
	SENDMAIL_HOST_STATUS, /* -bh, -bH; hoststat, purgestat: we keep none */
	SENDMAIL_NOTHING,     /* -q30m, -qp...: taken, the suite runs its queue itself */
	SENDMAIL_VERSION,     /* -d0 and -d0.1 without an operand */
};

/* -oe: what becomes of an error besides the exit code. */
enum sendmail_errors {
	SENDMAIL_ERRORS_PRINT, /* p: on stderr */
	SENDMAIL_ERRORS_QUIET, /* q */
	SENDMAIL_ERRORS_MAIL,  /* m, w: mailed to the sender */
	SENDMAIL_ERRORS_EXIT0, /* e: mailed, exit 0 */
};

struct sendmail_options {
	enum sendmail_mode mode;
	enum sendmail_errors errors;
	bool rmail;
	bool extract;	   /* -t */
	bool dots_literal; /* -i */
	bool verbose;	   /* -v */
	bool gateway;	   /* -G */
	bool sender_given; /* -f, -r */
	bool eight_bit;	   /* -B 8BITMIME */
	bool seven_bit;	   /* -B 7BIT */
	const char *sender;
	const char *name;    /* -F, or NULL */
	const char *notify;  /* -N, valid, or NULL */
	const char *ret;     /* -R as SMTP spells it: FULL, HDRS or NULL */
	const char *envid;   /* -V, plain text, or NULL */
	const char *flush;   /* -qI, -qR, -qS: letter and text behind it; "" for all */
	const char *aliases; /* -oAFILE: the text for -bi, or NULL */
	int n_words;	     /* operands */
	char **words;
};

/*
 * argv as main() got it. 0, or -1 where the call is wrong: *why is then one line for stderr. The
 * strings borrow from argv.
 */
int sendmail_options_parse(
    int argc, char **argv, struct sendmail_options *out, char *why, size_t why_size);

#endif
