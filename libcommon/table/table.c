/* SPDX-License-Identifier: ISC */
#include "table/table.h"

#include "base/die.h"
#include "base/place.h"
#include "table/table_tdb.h"
#include "table/table_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_MS = 1000 };

struct table {
	char *path;
	bool database;
	struct table_text *text;
	struct table_tdb *tdb;
	bool looked;
	uint64_t looked_ms;
	struct stat seen; /* all zero: not there */
	int error;	  /* of the last reading */
	struct buf why;
};

struct table *
table_new(const char *path)
{
	struct table *t = xcalloc(1, sizeof *t);
	struct slice name = slice_z(path);

	t->path = xstrdup(path);
	t->database = slice_iends(name, SLICE_LIT(".tdb")) || slice_iends(name, SLICE_LIT(".db"));
	return t;
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	table_text_free(t->text);
	table_tdb_close(t->tdb);
	buf_fini(&t->why);
	free(t->path);
	free(t);
}

const char *
table_path(const struct table *t)
{
	return t->path;
}

static int
read_text(const char *path, size_t size, struct buf *text)
{
	char name[PLACE_PATH_MAX];
	int fd = open(place_name(path, name), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
	    err = 0;
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	while (got > 0 && text->n <= size) {
		got = read(fd, buf_room(text, size + 1 - text->n), size + 1 - text->n);
		if (got > 0)
			text->n += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			err = -errno;
	}
	close(fd);
	return err == 0 && text->n > size ? -EAGAIN : err;
}

static int
load_text(struct table *t)
{
	struct buf text = { 0 };
	struct table_text *fresh;
	unsigned line;
	const char *why;
	int err;

	if (!S_ISREG(t->seen.st_mode) || t->seen.st_size > TABLE_TEXT_MAX)
		return -EFBIG;
	err = read_text(t->path, (size_t)t->seen.st_size, &text);
	if (err == 0) {
		fresh = table_text_parse(slice_buf(&text), &line, &why);
		if (fresh == NULL) {
			buf_printf(&t->why, "%s:%u: %s", t->path, line, why);
			err = -EBADMSG;
		} else {
			table_text_free(t->text);
			t->text = fresh;
		}
	}
	buf_fini(&text);
	return err;
}

static int
load_tdb(struct table *t)
{
	char name[PLACE_PATH_MAX];
	const char *path = place_name(t->path, name);
	struct table_tdb *fresh;
	int err;

	if (!S_ISREG(t->seen.st_mode))
		return -EFBIG;
	err = table_tdb_open(path, &fresh);
	if (err == -EBUSY) { /* tdb does not open a file twice: it was written over in place */
		table_tdb_close(t->tdb);
		t->tdb = NULL;
		err = table_tdb_open(path, &fresh);
	}
	if (err == -EBADMSG)
		buf_printf(&t->why, "%s: not a database of this suite", t->path);
	if (err != 0)
		return err;
	table_tdb_close(t->tdb);
	t->tdb = fresh;
	return 0;
}

static void
load(struct table *t)
{
	buf_reset(&t->why);
	if (t->seen.st_ino == 0) {
		/* Gone is gone: what it said does not hold any longer. */
		table_text_free(t->text);
		table_tdb_close(t->tdb);
		t->text = NULL;
		t->tdb = NULL;
		t->error = -ENOENT;
	} else {
		t->error = t->database ? load_tdb(t) : load_text(t);
	}
	if (t->error != 0 && t->why.n == 0)
		buf_printf(&t->why, "%s: %s", t->path, strerror(-t->error));
	buf_putc(&t->why, '\0');
}

static bool
same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool
table_refresh(struct table *t, uint64_t now_ms)
{
	char name[PLACE_PATH_MAX];
	struct stat st = { 0 };
	bool first = !t->looked;
	int before = t->error;

	if (t->looked && now_ms - t->looked_ms < LOOK_MS)
		return false;
	t->looked = true;
	t->looked_ms = now_ms;
	if (stat(place_name(t->path, name), &st) != 0) {
		if (errno != ENOENT && errno != ENOTDIR) {
			t->error = -errno;
			buf_reset(&t->why);
			buf_printf(&t->why, "%s: %s%c", t->path, strerror(errno), 0);
			return t->error != before;
		}
		st = (struct stat){ 0 };
	}
	if (!first && same(&st, &t->seen) &&
	    (t->error == 0 || t->error == -EBADMSG || st.st_ino == 0))
		return false;
	t->seen = st;
	load(t);
	return true;
}

const char *
table_why(const struct table *t)
{
	return t->error == 0 || t->why.n == 0 ? NULL : t->why.p;
}

bool
table_exists(const struct table *t)
{
	return t->seen.st_ino != 0;
}

int
table_find(struct table *t, struct slice key, struct buf *value)
{
	struct slice found;

	if (t->tdb != NULL)
		return table_tdb_find(t->tdb, key, value);
	if (t->text == NULL)
		return t->error != 0 ? t->error : -ENOENT;
	found = table_text_find(t->text, key);
	buf_slice(value, found);
	return found.p != NULL;
}
