/* SPDX-License-Identifier: ISC */
#ifndef LOCAL_LETTER_H
#define LOCAL_LETTER_H

#include "spool/content.h"

#include <stdbool.h>
#include <time.h>

/*
 * A message as it stands in a mailbox: Return-Path, X-Original-To where the recipient had another
 * address before, Delivered-To, then the content with LF for CR LF and an LF at its end.
 *
 * In an mbox a From_ line comes first and an empty line last, and each line that begins with "From
 * " behind any number of '>' gets one more '>' ("mboxrd"): what was quoted can be told apart from
 * what came so, and be taken back.
 */
enum letter_form { LETTER_MAILDIR, LETTER_MBOX };

struct letter {
	struct slice sender;	/* empty: null */
	struct slice recipient; /* whole, with extension */
	struct slice original;	/* empty, or equal to recipient: no X-Original-To */
	const struct content *content;
	/* -1: the body is in content->iov; else what follows its pieces is read here */
	int body_fd;
	uint64_t body_at, body_bytes;
	uint64_t until_mono_ms; /* later, writing ends with -ETIMEDOUT; 0: never */
};

/* Appends to fd. 0 or -errno; what was written stands there all the same. */
int letter_write(const struct letter *l, int fd, enum letter_form form, time_t now);

/* Is the recipient in a Delivered-To field already? Then it has been here before. */
bool letter_loops(const struct letter *l);

#endif
