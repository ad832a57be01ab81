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
 *	U1000                                           uid, must be the file's owner
 *	Falice@example.org                              envelope sender, may be empty
 *	B8BITMIME                                       optional: 7BIT, 8BITMIME, SMTPUTF8 (8-bit
 *too) TFULL                                           optional: RET, FULL or HDRS VQQ314159
 *optional: ENVID, xtext Rbob@example.net<TAB>NOTIFY=FAILURE,DELAY       one or more
 *	Rcarol<TAB>ORCPT=rfc822;carol+40example.net     unqualified ones get the origin from smtpd
 *
 *	Subject: the message, every line ended by CR LF, not dot-stuffed
 *	.commit 00000000000000000345 0123456789abcdef
 *
 * Envelope lines end in LF, come in this order and hold printable bytes and spaces only (bytes from
 * 0x80 on may occur). The last line, of fixed length, counts the bytes before it and hashes them
 *(FNV-1a 64): a file cut short, with a hole after a power cut, or with more behind it, is not
 *committed. While it is written the file has a name with a leading dot.
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
/* The last line. head and message are what stands before it in the file. */
void dropfile_tail(struct slice head, struct slice message, char out[static DROPFILE_TAIL + 1]);

/*
 * Reads a whole file. *out borrows from `file`, its recipients stand in `arena`. False: *why is a
 * constant text for the log. Not checked here: the addresses' own grammar, and who owns the file.
 */
bool dropfile_parse(struct slice file, size_t max_recipients, struct arena *arena,
    struct dropfile *out, const char **why);

#endif
