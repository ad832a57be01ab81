/* SPDX-License-Identifier: ISC */
#ifndef BOUNCED_CLASSIFY_H
#define BOUNCED_CLASSIFY_H

#include "bounced/rules.h"

/*
 * The rules in force, and the file they come from. dirfd: its folder, opened while that was
 * possible; -1: there is none.
 */
struct classifier {
	int dirfd;
	char *file; /* as configured */
	struct rules *rules;
	uint64_t loaded;  /* how often */
	struct buf error; /* why the last try failed; empty: it did not */
	uint64_t asked, stalled;
};

void classifier_init(struct classifier *c, int dirfd, const char *file);
void classifier_fini(struct classifier *c);
/*
 * Reads the file anew. False: it is refused as a whole, the old rules stay, c->error says why
 * ("FILE:LINE: ..."). The name may be another, in the same folder.
 */
bool classifier_load(struct classifier *c, const char *file);

/*
 * Classes a reply. What is missing of code and status is taken off the text's front, where it
 * stands there: "550 5.1.1 ...", "550-5.1.1 ...", "#5.1.0 ...".
 */
void classifier_ask(struct classifier *c, const struct reply *reply, struct verdict *out);
void reply_complete(struct reply *reply);

#endif
