/* SPDX-License-Identifier: ISC */
#include "table/table_tdb.h"

#include "base/die.h"
#include "table/table_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tdb.h>
#include <unistd.h>

/* No key of a table: those have no zero byte. */
static const char mark[] = "\0angarium table 1";
#define MARK ((TDB_DATA){ (unsigned char *)(uintptr_t)mark, sizeof mark })

enum { HASH_SIZE = 1999 };

struct table_tdb {
	struct tdb_context *db;
	uint64_t n;
};

struct table_maker {
	struct tdb_context *db;
	char *path, *aside;
	uint64_t n;
};

static struct slice
lower(struct slice key, char out[static TABLE_KEY_MAX])
{
	for (size_t i = 0; i < key.n; i++)
		out[i] = ascii_lower(key.p[i]);
	return slice_of(out, key.n);
}

static TDB_DATA
data(struct slice s)
{
	return (TDB_DATA){ (unsigned char *)(uintptr_t)s.p, s.n };
}

int
table_tdb_open(const char *path, struct table_tdb **out)
{
	struct tdb_context *db;
	struct table_tdb *t;
	TDB_DATA count;

	*out = NULL;
	errno = 0;
	db = tdb_open(path, 0, TDB_NOLOCK | TDB_NOMMAP, O_RDONLY, 0);
	if (db == NULL)
		return errno == 0 || errno == EINVAL || errno == EIO ? -EBADMSG : -errno;
	count = tdb_fetch(db, MARK);
	if (count.dptr == NULL || count.dsize != sizeof t->n) {
		free(count.dptr);
		tdb_close(db);
		return -EBADMSG;
	}
	t = xcalloc(1, sizeof *t);
	t->db = db;
	memcpy(&t->n, count.dptr, sizeof t->n);
	free(count.dptr);
	*out = t;
	return 0;
}

void
table_tdb_close(struct table_tdb *t)
{
	if (t == NULL)
		return;
	tdb_close(t->db);
	free(t);
}

uint64_t
table_tdb_count(const struct table_tdb *t)
{
	return t->n;
}

int
table_tdb_find(struct table_tdb *t, struct slice key, struct buf *value)
{
	char small[TABLE_KEY_MAX];
	TDB_DATA got;

	if (key.n == 0 || key.n > TABLE_KEY_MAX || memchr(key.p, '\0', key.n) != NULL)
		return 0;
	got = tdb_fetch(t->db, data(lower(key, small)));
	if (got.dptr == NULL)
		return tdb_error(t->db) == TDB_ERR_NOEXIST ? 0 : -EIO;
	buf_put(value, got.dptr, got.dsize);
	free(got.dptr);
	return 1;
}

int
table_maker_new(const char *path, struct table_maker **out)
{
	struct table_maker *m = xcalloc(1, sizeof *m);
	struct buf aside = { 0 };
	int err;

	buf_printf(&aside, "%s.%ld.new", path, (long)getpid());
	m->path = xstrdup(path);
	m->aside = slice_dup(slice_buf(&aside));
	buf_fini(&aside);
	unlink(m->aside);
	/* Not seen by anyone before it is renamed: no locks, and one sync at the end. */
	m->db =
	    tdb_open(m->aside, HASH_SIZE, TDB_NOLOCK | TDB_NOSYNC, O_RDWR | O_CREAT | O_EXCL, 0644);
	if (m->db == NULL) {
		err = errno != 0 ? -errno : -EIO;
		table_maker_drop(m);
		return err;
	}
	*out = m;
	return 0;
}

int
table_maker_put(struct table_maker *m, struct slice key, struct slice value)
{
	char small[TABLE_KEY_MAX];

	if (key.n == 0 || key.n > TABLE_KEY_MAX || memchr(key.p, '\0', key.n) != NULL)
		return -EINVAL;
	if (tdb_store(m->db, data(lower(key, small)), data(value), TDB_INSERT) == 0) {
		m->n++;
		return 1;
	}
	if (tdb_error(m->db) == TDB_ERR_EXISTS)
		return 0;
	return errno != 0 ? -errno : -EIO;
}

static int
sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct buf dir = { 0 };
	int fd, err = 0;

	buf_slice(
	    &dir, slash == NULL ? SLICE_LIT(".") : slice_of(path, (size_t)(slash - path) + 1));
	buf_putc(&dir, '\0');
	fd = open(dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	buf_fini(&dir);
	return err;
}

int
table_maker_commit(struct table_maker *m)
{
	TDB_DATA count = { (unsigned char *)&m->n, sizeof m->n };
	int err = 0;

	errno = 0;
	if (tdb_store(m->db, MARK, count, TDB_INSERT) != 0)
		err = errno != 0 ? -errno : -EIO;
	/* Whatever the umask is: those who look names up are other users. */
	if (err == 0 && (fchmod(tdb_fd(m->db), 0644) != 0 || fsync(tdb_fd(m->db)) != 0))
		err = -errno;
	if (tdb_close(m->db) != 0 && err == 0)
		err = -EIO;
	m->db = NULL;
	if (err == 0 && rename(m->aside, m->path) != 0)
		err = -errno;
	if (err == 0) {
		free(m->aside);
		m->aside = NULL;
		err = sync_folder(m->path);
	}
	table_maker_drop(m);
	return err;
}

void
table_maker_drop(struct table_maker *m)
{
	if (m == NULL)
		return;
	if (m->db != NULL)
		tdb_close(m->db);
	if (m->aside != NULL)
		unlink(m->aside);
	free(m->aside);
	free(m->path);
	free(m);
}
