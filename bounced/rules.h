/* SPDX-License-Identifier: ISC */
#ifndef BOUNCED_RULES_H
#define BOUNCED_RULES_H

#include "base/buf.h"

/*
 * The rules of bounce.rules(5): which class a reply is of. A file is read as a whole or not at all.
 * Patterns are the administrator's, what they are held against is a stranger's: each match has
 * bounds on steps, depth and memory, and one that runs into them counts as none.
 */
enum {
	RULES_FILE_MAX = 1 << 20,
	RULES_MAX = 5000,
	RULES_CLASSES_MAX = 1000,
	RULES_LINE_MAX = 4000,
	RULES_TEXT_MAX = 2048, /* bytes of a reply that are looked at */
	RULES_CLASS_UNDETERMINED = 1,
};

struct reply {
	uint16_t code;	     /* 0: none */
	uint16_t enh[3];     /* class 0: none */
	struct slice text;   /* without line ends */
	struct slice host;   /* that said so; may be empty */
	struct slice domain; /* of the recipient; may be empty */
};

struct verdict {
	uint32_t number;   /* of the class */
	const char *name;  /* live as long as the rules */
	const char *group; /* "hard", "soft", "block", "admin", "unknown" */
	unsigned line;	   /* of the rule; 0: none matched */
	bool stalled;	   /* a pattern ran into its bounds on the way */
};

struct rules;

/* 0; -EINVAL and one line "NAME:LINE: why" in err. */
int rules_parse(struct slice text, const char *name, struct rules **out, struct buf *err);
struct rules *rules_none(void); /* no rule at all: everything is undetermined */
void rules_free(struct rules *r);
unsigned rules_count(const struct rules *r);

/* The first rule whose conditions all hold; class 1 where none does. */
void rules_classify(const struct rules *r, const struct reply *reply, struct verdict *out);

#endif
