/* SPDX-License-Identifier: ISC */
#include "dnscache/warm.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "io/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tdb.h>
#include <unistd.h>
#include <xxhash.h>

#define FILE_NAME "cache.tdb"
#define FILE_NEW "cache.tdb.new"
#define FILE_READING "cache.tdb.reading"
#define FILE_DAMAGED "cache.tdb.damaged"

enum {
	ROW_HEAD = 8 + 8 + 1 + 1 + 1,
	FILE_MAX = 1024 * 1024 * 1024,
	HASH_SIZE = 10007,
	/* NOMMAP: a disk error is an errno, not SIGBUS. Nobody else opens it: no locks. */
	TDB_FLAGS = TDB_NOLOCK | TDB_NOMMAP | TDB_NOSYNC,
};

enum { SLICE_ROWS = 2000 };

/* What the thread and the loop hand each other: rows, one after the other (u32 length of the key,
 * u32 of the value, key, value). */
struct work {
	struct job job;
	struct warm *w;
	struct buf rows;
	int err;
	bool damaged, killed; /* found unreadable; its last reader died */
	uint64_t changes;
};

struct warm {
	struct loop *loop;
	struct offload *thread;
	struct cache *cache;
	int dirfd;
	struct work load, save;
	bool loading, saving;
	size_t at; /* in load.rows: what has entered the cache */
	struct timer *next;
	uint64_t cursor, changes;
	struct warm_stats stats;
};

/* In the thread, which so has a working folder of its own: tdb knows files by name only. */
static int
enter_folder(int dirfd)
{
	static __thread bool apart;

	if (!apart && unshare(CLONE_FS) != 0)
		return -errno;
	apart = true;
	return fchdir(dirfd) == 0 ? 0 : -errno;
}

static uint64_t
check_of(const void *key, size_t nkey, const void *rest, size_t nrest)
{
	return XXH3_64bits_withSeed(rest, nrest, XXH3_64bits(key, nkey));
}

static void
put_row(struct buf *rows, const void *key, uint32_t nkey, const void *value, uint32_t nvalue)
{
	buf_put(rows, &nkey, sizeof nkey);
	buf_put(rows, &nvalue, sizeof nvalue);
	buf_put(rows, key, nkey);
	buf_put(rows, value, nvalue);
}

static bool
take_row(struct buf *rows, size_t *at, struct slice *key, struct slice *value)
{
	uint32_t n[2];

	if (*at == rows->n)
		return false;
	memcpy(n, rows->p + *at, sizeof n);
	*at += sizeof n;
	*key = slice_of(rows->p + *at, n[0]);
	*value = slice_of(rows->p + *at + n[0], n[1]);
	*at += (size_t)n[0] + n[1];
	return true;
}

/* Reading. */

static int
read_row(struct tdb_context *tdb, TDB_DATA key, TDB_DATA value, void *arg)
{
	struct work *work = arg;
	uint64_t check;

	(void)tdb;
	if (key.dsize < 3 || key.dsize > 2 + DNS_NAME_MAX || value.dsize < ROW_HEAD ||
	    value.dsize > UINT16_MAX * 2) {
		work->damaged = true;
		return 0;
	}
	memcpy(&check, value.dptr, sizeof check);
	if (check != check_of(key.dptr, key.dsize, value.dptr + 8, value.dsize - 8)) {
		work->damaged = true;
		return 0;
	}
	put_row(&work->rows, key.dptr, (uint32_t)key.dsize, value.dptr, (uint32_t)value.dsize);
	return work->rows.n < FILE_MAX ? 0 : 1;
}

static int
read_file(struct work *work)
{
	struct stat st;
	struct tdb_context *tdb;
	int fd = open(FILE_READING, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	bool sane = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX;

	if (fd >= 0)
		close(fd);
	tdb =
	    sane ? tdb_open(FILE_READING, 0, TDB_FLAGS, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0) : NULL;
	if (tdb == NULL)
		return -EBADMSG;
	if (tdb_check(tdb, NULL, NULL) != 0 || tdb_traverse_read(tdb, read_row, work) < 0)
		work->damaged = true;
	tdb_close(tdb);
	return work->damaged ? -EBADMSG : 0;
}

static void
load(struct job *j)
{
	struct work *work = (struct work *)j;

	work->err = enter_folder(work->w->dirfd);
	if (work->err != 0)
		return;
	if (rename(FILE_READING, FILE_DAMAGED) == 0)
		work->killed = true;
	if (rename(FILE_NAME, FILE_READING) != 0) {
		work->err = errno == ENOENT ? 0 : -errno;
		return;
	}
	work->err = read_file(work);
	if (work->err != 0)
		work->damaged = true;
	if (rename(FILE_READING, work->damaged ? FILE_DAMAGED : FILE_NAME) != 0)
		work->err = -errno;
}

/* A row, if it makes sense. */
static bool
restore_row(struct warm *w, struct slice key, struct slice value, uint64_t wall, uint64_t mono)
{
	uint64_t until;
	uint8_t head[3];
	uint16_t type;
	char name[DNS_NAME_MAX + 1];
	struct cache_entry e = { .name = name };
	struct dns_record r;
	struct slice rest;
	int rc;

	memcpy(&type, key.p, sizeof type);
	memcpy(&until, value.p + 8, sizeof until);
	memcpy(head, value.p + 16, sizeof head);
	value = slice_from(value, ROW_HEAD);
	if (!dns_name_clean(slice_from(key, 2), name) || dns_type_word(type) == NULL ||
	    head[0] >= DNS_TEMP || head[2] > value.n)
		return false;
	e.type = (enum dns_type)type;
	e.status = (enum dns_status)head[0];
	e.flags = head[1] & DNS_AD;
	e.cname = slice_head(value, head[2]);
	e.records = rest = slice_from(value, head[2]);
	while ((rc = dns_record_next(&rest, e.type, &r)) == 1)
		;
	if (rc != 0 || !dns_name_is(e.cname) || (e.records.n > 0) != (e.status == DNS_OK))
		return false;
	if (until > wall) {
		e.expires_ms = mono + (until - wall);
		cache_restore(w->cache, &e, mono);
		w->stats.loaded++;
	}
	return true;
}

/* Some rows a turn. */
static void
restore_some(void *arg)
{
	struct warm *w = arg;
	uint64_t wall = clock_wall_ms(), mono = clock_mono_ms();
	struct slice key, value;

	for (unsigned i = 0; i < SLICE_ROWS; i++) {
		if (!take_row(&w->load.rows, &w->at, &key, &value)) {
			buf_fini(&w->load.rows);
			w->loading = false;
			return;
		}
		if (!restore_row(w, key, value, wall, mono))
			w->stats.damaged = true;
	}
	timer_set(w->next, 0);
}

static void
loaded(struct job *j)
{
	struct work *work = (struct work *)j;
	struct warm *w = work->w;

	w->stats.damaged |= work->damaged || work->killed;
	if (work->killed)
		log_trouble(0, "the cache file was being read when its reader ended; set aside "
			       "as " FILE_DAMAGED);
	if (work->damaged)
		log_trouble(0, "the cache file is damaged; set aside as " FILE_DAMAGED);
	else if (work->err != 0)
		log_trouble(-work->err, "the cache file cannot be read");
	restore_some(w);
}

/* Writing. */

static bool
gather(void *arg, const struct cache_entry *e)
{
	struct warm *w = arg;
	uint16_t type = (uint16_t)e->type;
	uint64_t head[2] = { 0, clock_wall_ms() + (e->expires_ms - clock_mono_ms()) };
	const uint8_t small[3] = { (uint8_t)e->status, (uint8_t)(e->flags & DNS_AD),
		(uint8_t)e->cname.n };
	struct buf key = { 0 }, value = { 0 };

	buf_put(&key, &type, sizeof type);
	buf_puts(&key, e->name);
	buf_put(&value, head, sizeof head);
	buf_put(&value, small, sizeof small);
	buf_slice(&value, e->cname);
	buf_slice(&value, e->records);
	head[0] = check_of(key.p, key.n, value.p + 8, value.n - 8);
	memcpy(value.p, head, 8);
	put_row(&w->save.rows, key.p, (uint32_t)key.n, value.p, (uint32_t)value.n);
	buf_fini(&key);
	buf_fini(&value);
	return true;
}

static int
write_rows(struct work *work, struct tdb_context *tdb)
{
	struct slice key, value;
	size_t at = 0;

	while (take_row(&work->rows, &at, &key, &value)) {
		TDB_DATA k = { (unsigned char *)work->rows.p + (key.p - work->rows.p), key.n };
		TDB_DATA v = { (unsigned char *)work->rows.p + (value.p - work->rows.p), value.n };

		errno = 0;
		if (tdb_store(tdb, k, v, TDB_INSERT) != 0)
			return errno != 0 ? -errno : -EIO;
	}
	return 0;
}

static void
save(struct job *j)
{
	struct work *work = (struct work *)j;
	struct tdb_context *tdb;

	work->err = enter_folder(work->w->dirfd);
	if (work->err != 0)
		return;
	unlink(FILE_NEW);
	tdb = tdb_open(FILE_NEW, HASH_SIZE, TDB_FLAGS, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (tdb == NULL) {
		work->err = -errno;
		return;
	}
	work->err = write_rows(work, tdb);
	if (tdb_close(tdb) != 0 && work->err == 0)
		work->err = -EIO;
	if (work->err == 0 && rename(FILE_NEW, FILE_NAME) != 0)
		work->err = -errno;
	if (work->err != 0)
		unlink(FILE_NEW);
}

static void
saved(struct job *j)
{
	struct work *work = (struct work *)j;
	struct warm *w = work->w;

	buf_fini(&work->rows);
	w->saving = false;
	if (work->err == 0) {
		w->changes = work->changes;
		w->stats.saved++;
		return;
	}
	if (w->stats.failed++ == 0)
		log_trouble(-work->err, "the cache file cannot be written");
}

/* The cache is copied in slices, so that who asks meanwhile does not wait. */
static void
gather_some(void *arg)
{
	struct warm *w = arg;

	if (cache_walk(w->cache, &w->cursor, clock_mono_ms(), gather, w)) {
		timer_set(w->next, 0);
		return;
	}
	offload_submit(w->thread, &w->save.job);
}

static void
on_next(void *arg)
{
	struct warm *w = arg;

	if (w->loading)
		restore_some(w);
	else if (w->saving)
		gather_some(w);
}

struct warm *
warm_new(struct loop *l, struct cache *cache, int dirfd)
{
	struct warm *w = xcalloc(1, sizeof *w);

	*w = (struct warm){ .loop = l, .cache = cache, .dirfd = dirfd, .loading = true };
	w->load.w = w->save.w = w;
	w->load.job = (struct job){ .run = load, .done = loaded };
	w->save.job = (struct job){ .run = save, .done = saved };
	w->next = timer_new(l, on_next, w);
	w->thread = offload_new(l, 1);
	offload_submit(w->thread, &w->load.job);
	return w;
}

void
warm_save(struct warm *w, uint64_t changes)
{
	if (w->loading || w->saving || changes == w->changes)
		return;
	w->saving = true;
	w->save.changes = changes;
	w->cursor = 0;
	gather_some(w);
}

void
warm_finish(struct warm *w, uint64_t changes)
{
	bool gathering = w->saving && timer_is_set(w->next);

	timer_stop(w->next);
	if (!w->loading && (!w->saving || gathering) && changes != w->changes) {
		if (!w->saving)
			w->cursor = 0;
		w->saving = true;
		w->save.changes = changes;
		while (cache_walk(w->cache, &w->cursor, clock_mono_ms(), gather, w))
			;
		offload_submit(w->thread, &w->save.job);
	}
	offload_free(w->thread);
	timer_free(w->next);
	buf_fini(&w->load.rows);
	buf_fini(&w->save.rows);
	free(w);
}

void
warm_stats(const struct warm *w, struct warm_stats *out)
{
	*out = w->stats;
}
