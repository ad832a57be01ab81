/* SPDX-License-Identifier: ISC */
#ifndef MAIL_DROPFILE_H
#define MAIL_DROPFILE_H

#include "base/arena.h"
#include "base/buf.h"

/*
 * A file of the drop folder: one message that sendmail(8) left while nothing listened, for smtpd's
 * worker of class local to take in. Any user may write there, so the reader believes nothing.
 *
 *	angarium-drop 1
 *	U1000                          uid, must be that of the file's owner
 *	Falice@example.org             envelope sender, may be empty
 *	B8BITMIME                      optional: 7BIT, 8BITMIME or SMTPUTF8
 *	TFULL                          optional, RET: FULL or HDRS
 *	VQQ314159                      optional, ENVID: xtext
 *	Rbob@example.net<TAB>NOTIFY=FAILURE,DELAY
 *	Rcarol<TAB>ORCPT=rfc822;carol  one or more; smtpd completes what has no domain
 *
 *	Subject: the message, every line ended by CR LF, not dot-stuffed
 *	.commit 00000000000000000345 0123456789abcdef
 *
 * Envelope lines end in LF, come in this order and hold no control bytes. The last line, of fixed
 * length, counts the bytes before it and hashes them (FNV-1a, 64 bits): a file that was cut short,
 * has a hole after a power cut, or more behind it, is not committed. While it is written the file
 * has a name with a leading dot.
 */

enum { DROPFILE_TAIL = 46, DROPFILE_VALUE_MAX = 2000 };

enum dropfile_body {
	DROPFILE_BODY_NONE,
	DROPFILE_BODY_7BIT,
	DROPFILE_BODY_8BIT,
	DROPFILE_BODY_UTF8
};
enum dropfile_ret { DROPFILE_RET_NONE, DROPFILE_RET_FULL, DROPFILE_RET_HDRS };

struct dropfile_recipient {
	struct slice address; /* without brackets */
	struct slice notify;  /* empty: none given */
	struct slice orcpt;   /* "type;xtext"; empty: none given */
};

struct dropfile {
	uint32_t uid;
	enum dropfile_body body;
	enum dropfile_ret ret;
	struct slice sender, envid;
	const struct dropfile_recipient *recipients;
	size_t n_recipients;
	struct slice message;
};

/* Appends all that stands before the message. False, *out unchanged, when a value cannot be
 * written. */
bool dropfile_head(const struct dropfile *d, struct buf *out);
/* Counts and hashes what stands before the last line; zeroed is ready, pieces in order. */
struct dropfile_sum {
	uint64_t bytes, hash;
};
void dropfile_sum_add(struct dropfile_sum *s, struct slice piece);
/* The last line. */
void dropfile_tail(const struct dropfile_sum *s, char out[static DROPFILE_TAIL + 1]);

/*
 * Reads a whole file. *out borrows from `file`, its recipients stand in `arena`. False: *why is a
 * constant text for the log. Not checked here: the addresses' own grammar, and who owns the file.
 */
bool dropfile_parse(struct slice file, size_t max_recipients, struct arena *arena,
    struct dropfile *out, const char **why);
/*
 * The same of a file too large to be held: front has its envelope, to the empty line, and any part
 * of the message, which out->message is then. Its last line is for the caller to check, and so are
 * the message's lines.
 */
bool dropfile_parse_front(struct slice front, size_t max_recipients, struct arena *arena,
    struct dropfile *out, const char **why);

#endif
