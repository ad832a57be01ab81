/* SPDX-License-Identifier: ISC */
#include "table/users.h"

#include "base/die.h"
#include "base/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct users {
	char *text; /* the rows point into it */
	struct users_row *rows;
	size_t n, cap;
	uint32_t *slots; /* index + 1 of a row, 0: free; a power of two, at most half full */
	size_t nslots;
};

struct users_file {
	char *path;
	uint32_t owner;
	bool looked;
	uint64_t looked_ms;
	struct stat seen;
	struct users *users;
	int error;
	struct buf why;
};

static bool
name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > USERS_NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

static bool
path_ok(const char *path)
{
	struct slice rest = slice_z(path), part;

	if (rest.n > USERS_PATH_MAX)
		return false;
	for (size_t i = 0; i < rest.n; i++)
		if ((unsigned char)path[i] < ' ' || path[i] == 0x7f)
			return false;
	while (slice_next(&rest, '/', &part))
		if (slice_is(part, ".."))
			return false;
	return true;
}

static bool
id_of(const char *text, uint32_t *id)
{
	uint64_t v;

	if (!slice_u64(slice_z(text), &v) || v >= UINT32_MAX)
		return false;
	*id = (uint32_t)v;
	return true;
}

/* The fields of a line, ended by zero bytes in place; NULL where the line is good. */
static const char *
parse_line(char *line, struct users_row *row)
{
	char *field[5] = { line, NULL, NULL, NULL, NULL };
	unsigned n = 1;

	for (char *c = line; *c != '\0'; c++) {
		if (*c != ':')
			continue;
		if (n == 5)
			return "more than five fields";
		*c = '\0';
		field[n++] = c + 1;
	}
	if (n < 4)
		return "fewer than four fields (name:uid:gid:home[:mailbox])";
	row->name = field[0];
	row->home = field[3];
	row->mailbox = n == 5 ? field[4] : "";
	if (!name_ok(row->name))
		return "the name is no user name";
	if (!id_of(field[1], &row->uid) || !id_of(field[2], &row->gid))
		return "the uid or gid is no number below 4294967295";
	if (row->home[0] != '/' || !path_ok(row->home))
		return "the home is no absolute path";
	if (!path_ok(row->mailbox))
		return "the mailbox is no path";
	return NULL;
}

static size_t
slot_of(const struct users *u, struct slice name)
{
	size_t i = slice_ihash(name) & (u->nslots - 1);

	while (u->slots[i] != 0 && !slice_iis(name, u->rows[u->slots[i] - 1].name))
		i = (i + 1) & (u->nslots - 1);
	return i;
}

static void
grow_slots(struct users *u)
{
	free(u->slots);
	u->nslots = u->nslots == 0 ? 64 : u->nslots * 2;
	u->slots = xcalloc(u->nslots, sizeof *u->slots);
	for (size_t i = 0; i < u->n; i++)
		u->slots[slot_of(u, slice_z(u->rows[i].name))] = (uint32_t)i + 1;
}

static const char *
add(struct users *u, char *line)
{
	struct users_row row;
	const char *why = parse_line(line, &row);
	size_t slot;

	if (why != NULL)
		return why;
	if ((u->n + 1) * 2 > u->nslots)
		grow_slots(u);
	slot = slot_of(u, slice_z(row.name));
	if (u->slots[slot] != 0)
		return "the name stands there twice";
	if (u->n == u->cap) {
		u->cap = u->cap == 0 ? 32 : u->cap * 2;
		u->rows = xrealloc(u->rows, u->cap * sizeof *u->rows);
	}
	u->rows[u->n++] = row;
	u->slots[slot] = (uint32_t)u->n;
	return NULL;
}

struct users *
users_parse(struct slice text, unsigned *line, const char **why)
{
	struct users *u = xcalloc(1, sizeof *u);
	char *next, *end;

	*line = 0;
	*why = NULL;
	u->text = slice_dup(text);
	end = u->text + text.n;
	if (memchr(u->text, '\0', text.n) != NULL)
		*why = "a zero byte";
	for (char *p = u->text; p < end && *why == NULL; p = next) {
		char *nl = memchr(p, '\n', (size_t)(end - p));

		++*line;
		next = nl == NULL ? end : nl + 1;
		if (nl != NULL)
			*nl = '\0';
		if (*p != '#' && p[strspn(p, " \t")] != '\0')
			*why = add(u, p);
	}
	if (*why == NULL)
		return u;
	users_free(u);
	return NULL;
}

void
users_free(struct users *u)
{
	if (u == NULL)
		return;
	free(u->text);
	free(u->rows);
	free(u->slots);
	free(u);
}

size_t
users_count(const struct users *u)
{
	return u->n;
}

const struct users_row *
users_find(const struct users *u, struct slice name)
{
	uint32_t row = u->nslots == 0 ? 0 : u->slots[slot_of(u, name)];

	return row == 0 ? NULL : &u->rows[row - 1];
}

struct users_file *
users_file_new(const char *path, uint32_t owner)
{
	struct users_file *f = xcalloc(1, sizeof *f);

	f->path = xstrdup(path);
	f->owner = owner;
	return f;
}

void
users_file_free(struct users_file *f)
{
	if (f == NULL)
		return;
	users_free(f->users);
	buf_fini(&f->why);
	free(f->path);
	free(f);
}

static int
fail(struct users_file *f, int error, unsigned line, const char *why)
{
	buf_reset(&f->why);
	if (line > 0)
		buf_printf(&f->why, "%s:%u: %s", f->path, line, why);
	else
		buf_printf(&f->why, "%s: %s", f->path, why);
	return error;
}

static int
read_all(int fd, size_t size, struct buf *text)
{
	/* One byte more than it was: a file that grows under us is read whole or not at all. */
	for (;;) {
		char *at = buf_room(text, size + 1 - text->n);
		ssize_t got = read(fd, at, size + 1 - text->n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		text->n += (size_t)got;
		if (text->n > size)
			return -EAGAIN;
		if (got == 0)
			return 0;
	}
}

static int
load_from(struct users_file *f, int fd)
{
	struct buf text = { 0 };
	unsigned line;
	const char *why;
	int rc;

	if (fstat(fd, &f->seen) != 0)
		return fail(f, -errno, 0, strerror(errno));
	if (!S_ISREG(f->seen.st_mode) || f->seen.st_size > USERS_TEXT_MAX)
		return fail(f, -EPERM, 0, "not a regular file of at most 16 MiB");
	if (f->seen.st_uid != 0 && f->seen.st_uid != f->owner)
		return fail(f, -EPERM, 0, "not owned by root");
	if (f->seen.st_mode & (S_IWGRP | S_IWOTH))
		return fail(f, -EPERM, 0, "writable by others than its owner");
	rc = read_all(fd, (size_t)f->seen.st_size, &text);
	if (rc == 0) {
		f->users = users_parse(slice_buf(&text), &line, &why);
		rc = f->users != NULL ? 0 : fail(f, -EBADMSG, line, why);
	} else {
		rc = fail(f, rc, 0, strerror(-rc));
	}
	buf_fini(&text);
	return rc;
}

static int
load(struct users_file *f)
{
	char name[PLACE_PATH_MAX];
	int fd = open(place_name(f->path, name), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	users_free(f->users);
	f->users = NULL;
	f->seen = (struct stat){ 0 };
	if (fd < 0)
		return fail(f, -errno, 0, strerror(errno));
	rc = load_from(f, fd);
	close(fd);
	return rc;
}

static bool
changed(const struct users_file *f)
{
	char name[PLACE_PATH_MAX];
	struct stat st;

	/* One that failed is tried again each time. */
	if (f->users == NULL || stat(place_name(f->path, name), &st) != 0)
		return true;
	return st.st_dev != f->seen.st_dev || st.st_ino != f->seen.st_ino ||
	       st.st_size != f->seen.st_size || st.st_mode != f->seen.st_mode ||
	       st.st_uid != f->seen.st_uid || st.st_mtim.tv_sec != f->seen.st_mtim.tv_sec ||
	       st.st_mtim.tv_nsec != f->seen.st_mtim.tv_nsec;
}

int
users_file_get(struct users_file *f, uint64_t now_ms, const struct users **out, struct buf *err)
{
	if (!f->looked || now_ms - f->looked_ms >= 1000) {
		f->looked = true;
		f->looked_ms = now_ms;
		if (changed(f))
			f->error = load(f);
	}
	*out = f->users;
	if (f->error != 0)
		buf_slice(err, slice_buf(&f->why));
	return f->error;
}
