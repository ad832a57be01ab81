/* SPDX-License-Identifier: ISC */
#include "logd/follow.h"

#include "base/die.h"
#include "base/json.h"

#include <stdlib.h>

enum { FOLLOWERS_MAX = 16, BEHIND_MAX = 1024 * 1024 };

struct follower {
	uint64_t token;	       /* 0: free */
	struct buf conditions; /* words ended by NUL */
	uint64_t missed;
};

struct followers {
	struct ctl_server *server;
	struct follower at[FOLLOWERS_MAX];
};

struct followers *
followers_new(void)
{
	return xcalloc(1, sizeof(struct followers));
}

void
followers_free(struct followers *f)
{
	for (unsigned i = 0; f != NULL && i < FOLLOWERS_MAX; i++)
		buf_fini(&f->at[i].conditions);
	free(f);
}

void
followers_set_server(struct followers *f, struct ctl_server *server)
{
	f->server = server;
}

bool
followers_any(const struct followers *f)
{
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++)
		if (f->at[i].token != 0)
			return true;
	return false;
}

void
followers_add(struct followers *f, struct ctl_call *c, struct slice args)
{
	struct slice words = args, word;

	while (ctl_word(&words, &word))
		if (slice_find(word, '=') < 1) {
			ctl_end(c, EXIT_USAGE, "follow [KEY=VALUE ...]");
			return;
		}
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++) {
		struct follower *w = &f->at[i];

		if (w->token != 0 && ctl_by_token(f->server, w->token) != NULL)
			continue;
		buf_reset(&w->conditions);
		buf_slice(&w->conditions, args);
		w->token = ctl_token(c);
		w->missed = 0;
		return;
	}
	ctl_end(c, EXIT_TEMP, "too many look on already");
}

bool
line_has(struct slice line, struct slice key, struct slice value)
{
	struct buf needle = { 0 };
	const char *at;
	bool found = false;

	json_quote(&needle, key);
	buf_putc(&needle, ':');
	at = line.n == 0 ? NULL : memmem(line.p, line.n, needle.p, needle.n);
	if (at != NULL) {
		struct slice rest = slice_from(line, (size_t)(at - line.p) + needle.n);

		buf_reset(&needle);
		if (rest.n > 0 && rest.p[0] == '"')
			json_quote(&needle, value);
		else
			buf_slice(&needle, value);
		found = rest.n > needle.n && memcmp(rest.p, needle.p, needle.n) == 0 &&
			(rest.p[needle.n] == ',' || rest.p[needle.n] == '}');
	}
	buf_fini(&needle);
	return found;
}

static bool
meets(struct slice conditions, struct slice line)
{
	struct slice word;

	while (ctl_word(&conditions, &word)) {
		size_t eq = (size_t)slice_find(word, '=');

		if (!line_has(line, slice_head(word, eq), slice_from(word, eq + 1)))
			return false;
	}
	return true;
}

void
followers_line(struct followers *f, struct slice line)
{
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++) {
		struct follower *w = &f->at[i];
		struct ctl_call *c = w->token == 0 ? NULL : ctl_by_token(f->server, w->token);
		struct buf *out;

		if (c == NULL) {
			w->token = 0;
			continue;
		}
		if (!meets(slice_buf(&w->conditions), line))
			continue;
		out = ctl_out(c);
		if (out->n > BEHIND_MAX) {
			w->missed++;
			continue;
		}
		if (w->missed > 0)
			buf_printf(out, "{\"event\":\"missed\",\"count\":%llu}\n",
			    (unsigned long long)w->missed);
		w->missed = 0;
		buf_slice(out, line);
	}
}
