/* SPDX-License-Identifier: ISC */
#include "logd/trace.h"

#include "base/arena.h"
#include "base/die.h"
#include "base/id.h"
#include "logd/follow.h"
#include "logd/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	PIECE = 256 * 1024,
	LINE_MAX_BYTES = 64 * 1024,
	STORY_MAX = 10000,
	OLD_FILES = 9,
	STAMP = 36
};

struct line {
	struct slice text;
	uint64_t at; /* number of the line over all files */
};

/* Two passes over the files, oldest first: by id, then, once it is known, by the session. */
struct trace {
	int dirfd, fd, file; /* file: OLD_FILES..0 */
	bool second;
	uint64_t at;
	char id[ID_TEXT + 1];
	char session[17]; /* of `received`; empty: none seen */
	struct buf piece;
	struct arena text;
	struct line *lines;
	size_t n, room, missed;
};

static void
trace_free(void *arg)
{
	struct trace *t = arg;

	if (t->fd >= 0)
		close(t->fd);
	buf_fini(&t->piece);
	arena_fini(&t->text);
	free(t->lines);
	free(t);
}

static void
keep(struct trace *t, struct slice line)
{
	if (t->n == STORY_MAX) {
		t->missed++;
		return;
	}
	if (t->n == t->room) {
		t->room = t->room == 0 ? 16 : t->room * 2;
		t->lines = xrealloc(t->lines, t->room * sizeof *t->lines);
	}
	t->lines[t->n++] = (struct line){ arena_slice(&t->text, line), t->at };
}

/* The session that brought the message in stands in its `received` line. */
static void
note_session(struct trace *t, struct slice line)
{
	static const char key[] = "\"session\":\"";
	const char *at = memmem(line.p, line.n, key, sizeof key - 1);

	if (at == NULL || !line_has(line, SLICE_LIT("event"), SLICE_LIT("received")))
		return;
	at += sizeof key - 1;
	if (line.p + line.n - at >= 16)
		slice_copy(slice_of(at, 16), t->session, sizeof t->session);
}

static void
look_at(struct trace *t, struct slice line)
{
	if (memmem(line.p, line.n, t->second ? t->session : t->id, t->second ? 16 : ID_TEXT) ==
	    NULL)
		return;
	if (!t->second && line_has(line, SLICE_LIT("id"), slice_z(t->id))) {
		keep(t, line);
		note_session(t, line);
	} else if (t->second && memmem(line.p, line.n, "\"id\":\"", 6) == NULL &&
		   line_has(line, SLICE_LIT("session"), slice_z(t->session)))
		keep(t, line);
}

/* Lines begin with {"time":"...": their bytes sort by time. What has the same stays as it was
 * written. */
static int
by_time(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
	int c = memcmp(x->text.p, y->text.p, n < STAMP ? n : STAMP);

	return c != 0 ? c : x->at < y->at ? -1 : x->at > y->at;
}

static bool
open_next(struct trace *t)
{
	char name[32];

	while (t->fd < 0) {
		if (t->file < 0) {
			if (t->second || t->session[0] == '\0')
				return false;
			t->second = true;
			t->file = OLD_FILES;
			t->at = 0;
		}
		snprintf(name, sizeof name, t->file > 0 ? SINK_FILE ".%d" : SINK_FILE, t->file);
		t->fd = openat(t->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		t->file--;
	}
	return true;
}

static void
tell(struct ctl_call *c, struct trace *t)
{
	if (t->n > 0)
		qsort(t->lines, t->n, sizeof *t->lines, by_time);
	for (size_t i = 0; i < t->n; i++) {
		buf_slice(ctl_out(c), t->lines[i].text);
		buf_putc(ctl_out(c), '\n');
	}
	if (t->missed > 0)
		buf_printf(ctl_out(c), "{\"event\":\"missed\",\"count\":%zu}\n", t->missed);
	if (t->n == 0)
		ctl_end(c, EXIT_UNAVAILABLE, "nothing in the log about this id");
	else
		ctl_end(c, 0, NULL);
}

static void
read_piece(struct trace *t)
{
	ssize_t n = read(t->fd, buf_room(&t->piece, PIECE), PIECE);
	struct slice rest;
	ptrdiff_t end;

	if (n <= 0) {
		if (n < 0 && errno == EINTR)
			return;
		close(t->fd);
		t->fd = -1;
		buf_reset(&t->piece);
		return;
	}
	t->piece.n += (size_t)n;
	rest = slice_buf(&t->piece);
	while ((end = slice_find(rest, '\n')) >= 0) {
		t->at++;
		look_at(t, slice_head(rest, (size_t)end));
		rest = slice_from(rest, (size_t)end + 1);
	}
	buf_drop(&t->piece, t->piece.n - (rest.n > LINE_MAX_BYTES ? 0 : rest.n));
}

static void
more(struct ctl_call *c, void *state)
{
	struct trace *t = state;

	if (!open_next(t))
		tell(c, t);
	else
		read_piece(t);
}

void
trace_start(struct ctl_call *c, int log_dirfd, struct slice args)
{
	struct trace *t;
	struct slice word;
	uint64_t id;

	if (!ctl_word(&args, &word) || !id_parse(word, &id)) {
		ctl_end(c, EXIT_USAGE, "trace ID");
		return;
	}
	t = xcalloc(1, sizeof *t);
	*t = (struct trace){ .dirfd = log_dirfd, .fd = -1, .file = OLD_FILES };
	id_text(id, t->id);
	ctl_more(c, more, t, trace_free);
}
