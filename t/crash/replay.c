/* SPDX-License-Identifier: ISC */
/*
 * replay BASE LOG FOLDER STATES SEED: the disks a power cut may have left, one after the other.
 *
 * At an instant within the log, everything before the last flush is on the disk; of what was
 * written after it any part may be: none, all, an early part, any subset of writes or of their
 * 4 KiB pieces, one of them torn within at a sector of 512 bytes. FOLDER/image shows one such
 * disk. What the file system then writes to it (journal replay) goes to a layer of its own, and
 * the next state begins without it.
 *
 * First every mark is printed, "mark POSITION LINE", and "ready". Then, for each line read from
 * standard input, the next state: "state NUMBER POSITION FLUSHES WRITES KEPT MODE", or "end". A
 * position is a number of log entries; a state's is where the power went. They never fall. States
 * are drawn from SEED, unlike each other, behind the last mark "begin" and before the first "end",
 * where there are such.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/slice.h"
#include "t/crash/blockfs.h"

enum { PIECE = 4096, SECTOR = 512, REDRAWS = 40 };
enum mode { MODE_NONE, MODE_ALL, MODE_PREFIX, MODE_WRITES, MODE_PIECES, MODE_COUNT };
static const char *const mode_words[] = { "none", "all", "prefix", "writes", "pieces" };

struct entry {
	enum log_type type;
	uint32_t n;
	uint64_t at;
	const char *p;
};

static struct entry *entries;
static size_t nentries, first, last; /* states lie between these positions */

static char *disk;     /* everything up to `durable` is in it */
static size_t durable; /* a position */
static uint64_t size;
static char **layer; /* by piece: what this state has on top, or NULL */
static size_t *touched, ntouched;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t *seen; /* hashes of the states shown */
static size_t nseen;

struct rng {
	uint64_t s;
};

static uint64_t
rng_next(struct rng *r)
{
	r->s ^= r->s >> 12;
	r->s ^= r->s << 25;
	r->s ^= r->s >> 27;
	return r->s * 0x2545f4914f6cdd1dULL;
}

static uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return n == 0 ? 0 : (rng_next(r) >> 11) % n;
}

/* ---- the disk shown */

static char *
piece_of(uint64_t i)
{
	if (layer[i] == NULL) {
		layer[i] = xmalloc(PIECE);
		memcpy(layer[i], disk + i * PIECE, PIECE);
		touched[ntouched++] = i;
	}
	return layer[i];
}

static void
layer_drop(void)
{
	while (ntouched > 0) {
		size_t i = touched[--ntouched];

		free(layer[i]);
		layer[i] = NULL;
	}
}

static void
layer_write(uint64_t at, const char *p, size_t n)
{
	while (n > 0) {
		size_t off = at % PIECE, some = PIECE - off < n ? PIECE - off : n;

		memcpy(piece_of(at / PIECE) + off, p, some);
		at += some;
		p += some;
		n -= some;
	}
}

static void
on_read(uint64_t at, char *p, size_t n)
{
	pthread_mutex_lock(&lock);
	while (n > 0) {
		size_t off = at % PIECE, some = PIECE - off < n ? PIECE - off : n;
		const char *from = layer[at / PIECE];

		memcpy(p, from != NULL ? from + off : disk + at, some);
		at += some;
		p += some;
		n -= some;
	}
	pthread_mutex_unlock(&lock);
}

static void
on_write(uint64_t at, const char *p, size_t n)
{
	pthread_mutex_lock(&lock);
	layer_write(at, p, n);
	pthread_mutex_unlock(&lock);
}

/* ---- the log */

static void
log_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	struct slice s;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(EXIT_UNAVAILABLE, "%s: %s", path, strerror(errno));
	s = slice_of(
	    mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0), (size_t)st.st_size);
	if (s.p == MAP_FAILED)
		die(EXIT_UNAVAILABLE, "%s: %s", path, strerror(errno));
	while (s.n >= sizeof(struct log_entry)) {
		struct log_entry e;

		memcpy(&e, s.p, sizeof e);
		s = slice_from(s, sizeof e);
		if (e.n > s.n || (e.type == LOG_WRITE && (e.at > size || e.n > size - e.at)))
			die(EXIT_DATA, "%s: damaged", path);
		if ((nentries & (nentries + 1)) ==
		    0) /* grows when nentries + 1 is a power of two */
			entries = xrealloc(entries, (nentries + 1) * 2 * sizeof *entries);
		entries[nentries++] = (struct entry){ e.type, e.n, e.at, s.p };
		s = slice_from(s, e.n);
	}
}

static void
marks_print(void)
{
	last = nentries;
	for (size_t i = 0; i < nentries; i++) {
		struct slice all = slice_of(entries[i].p, entries[i].n), line;

		if (entries[i].type != LOG_MARK)
			continue;
		while (slice_next(&all, '\n', &line)) {
			if (line.n > 0)
				printf("mark %zu %.*s\n", i, SLICE_ARG(line));
			if (slice_is(line, "begin"))
				first = i;
			if (slice_is(line, "end") && last == nentries)
				last = i;
		}
	}
	printf("ready\n");
	fflush(stdout);
}

/* ---- states */

struct state {
	size_t position; /* the power goes before this entry */
	uint64_t seed;
};

static int
by_position(const void *a, const void *b)
{
	const struct state *x = a, *y = b;

	return x->position < y->position ? -1 : x->position > y->position;
}

/* What is before the last flush before the position is on the disk; returns where that flush is. */
static size_t
advance(size_t position, size_t *flushes)
{
	size_t flush = position;

	while (flush > durable && entries[flush - 1].type != LOG_FLUSH)
		flush--;
	for (; durable < flush; durable++) {
		const struct entry *e = &entries[durable];

		*flushes += e->type == LOG_FLUSH;
		if (e->type == LOG_WRITE)
			memcpy(disk + e->at, e->p, e->n);
	}
	return flush;
}

/* What was promised by then is part of a state: the same disk may owe more later. */
static uint64_t
marks_before(size_t position)
{
	static size_t at;
	static uint64_t n;

	for (; at < position; at++)
		n += entries[at].type == LOG_MARK;
	return n;
}

static void
hash_in(uint64_t *h, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		*h = (*h ^ (value >> i * 8 & 0xff)) * 1099511628211ULL;
}

static void
keep(const struct entry *e, size_t from, size_t n, uint64_t *hash)
{
	layer_write(e->at + from, e->p + from, n);
	hash_in(hash, e->at + from);
	hash_in(hash, (uint64_t)(e - entries));
	hash_in(hash, n);
}

/* A subset by pieces; each kept with the chance of `of256`. */
static bool
keep_pieces(struct rng *r, const struct entry *e, uint64_t of256, uint64_t *hash)
{
	bool any = false;

	for (size_t from = 0; from < e->n; from += PIECE) {
		size_t n = e->n - from < PIECE ? e->n - from : PIECE;

		if (rng_below(r, 256) < of256) {
			keep(e, from, n, hash);
			any = true;
		}
	}
	return any;
}

/* Lays one state over the durable disk; returns how many writes are in it, wholly or in part. */
static size_t
build(struct rng *r, size_t flush, size_t position, enum mode mode, size_t writes, uint64_t *hash)
{
	static const uint64_t chances[] = { 25, 128, 230 };
	uint64_t of256 = chances[rng_below(r, 3)], prefix = rng_below(r, writes + 1), k = 0;
	uint64_t torn = rng_below(r, 3) == 0 ? rng_below(r, writes) : UINT64_MAX;
	size_t kept = 0;

	hash_in(hash, flush);
	for (size_t i = flush; i < position; i++) {
		const struct entry *e = &entries[i];
		bool whole;

		if (e->type != LOG_WRITE)
			continue;
		k++;
		if (mode == MODE_PIECES) {
			kept += keep_pieces(r, e, of256, hash);
			continue;
		}
		whole = mode == MODE_ALL || (mode == MODE_PREFIX && k <= prefix) ||
			(mode == MODE_WRITES && rng_below(r, 256) < of256);
		if (!whole)
			continue;
		kept++;
		if (k - 1 == torn)
			keep(e, 0, rng_below(r, e->n / SECTOR + 1) * SECTOR, hash);
		else
			keep(e, 0, e->n, hash);
	}
	return kept;
}

static bool
is_new(uint64_t hash)
{
	for (size_t i = 0; i < nseen; i++)
		if (seen[i] == hash)
			return false;
	seen[nseen++] = hash;
	return true;
}

/* Shows the next state; false when the draw gave only disks that were shown before. */
static bool
show(const struct state *s, size_t number)
{
	static size_t flushes;
	struct rng r = { s->seed | 1 };
	size_t flush = advance(s->position, &flushes), writes = 0, kept;
	uint64_t marks = marks_before(s->position);
	bool fresh = false;

	for (size_t i = flush; i < s->position; i++)
		writes += entries[i].type == LOG_WRITE;
	for (int try = 0; try < REDRAWS && !fresh; try++) {
		enum mode mode = writes == 0 ? MODE_ALL : (enum mode)rng_below(&r, MODE_COUNT);
		uint64_t hash = 14695981039346656037ULL;

		hash_in(&hash, marks);
		layer_drop();
		kept = build(&r, flush, s->position, mode, writes, &hash);
		fresh = is_new(hash);
		if (fresh)
			printf("state %zu %zu %zu %zu %zu %s\n", number, s->position, flushes,
			    writes, kept, mode_words[mode]);
		if (writes == 0)
			break;
	}
	fflush(stdout);
	return fresh;
}

/* Instants, more than are asked for, as some yield nothing new: at random between the marks. */
static struct state *
draw(size_t n, uint64_t seed)
{
	struct rng r = { seed * 2 + 1 };
	struct state *states = xcalloc(n, sizeof *states);

	for (size_t i = 0; i < n; i++) {
		states[i].position = first + rng_below(&r, last - first + 1);
		states[i].seed = rng_next(&r);
	}
	qsort(states, n, sizeof *states, by_position);
	return states;
}

static void *
serve(void *fuse)
{
	blockfs_serve(fuse);
	exit(0);
}

/* Shows the next of the drawn states that is new; false when none is left. */
static bool
next_state(const struct state *states, size_t n, size_t *i, size_t shown, size_t wanted)
{
	bool done = false;

	/* Spread what is wanted over all instants: pass some over while enough remain. */
	while (n - *i > wanted - shown && *i * wanted / n < shown)
		++*i;
	pthread_mutex_lock(&lock);
	while (*i < n && !done)
		done = show(&states[(*i)++], shown + 1);
	pthread_mutex_unlock(&lock);
	return done;
}

/* The last state stays until it is no longer wanted. */
static void
states_show(size_t wanted, uint64_t seed)
{
	size_t n = wanted * 2 + 64, shown = 0, i = 0;
	struct state *states = draw(n, seed);
	char line[64];

	seen = xcalloc(n, sizeof *seen);
	while (fgets(line, sizeof line, stdin) != NULL) {
		if (shown == wanted || !next_state(states, n, &i, shown, wanted)) {
			printf("end\n");
			fflush(stdout);
			break;
		}
		shown++;
	}
	free(states);
	free(seen);
}

int
main(int argc, char *argv[])
{
	struct blockfs fs = { .read = on_read, .write = on_write };
	pthread_t thread;
	struct stat st;
	uint64_t wanted, seed;
	int fd;

	if (argc != 6 || !slice_u64(slice_z(argv[4]), &wanted) ||
	    !slice_u64(slice_z(argv[5]), &seed))
		die(EXIT_USAGE, "usage: replay base log folder states seed");
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		die(EXIT_UNAVAILABLE, "%s: %s", argv[1], strerror(errno));
	size = fs.size = (uint64_t)st.st_size / PIECE * PIECE;
	disk = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	if (disk == MAP_FAILED)
		die(EXIT_UNAVAILABLE, "%s: %s", argv[1], strerror(errno));
	layer = xcalloc(size / PIECE, sizeof *layer);
	touched = xcalloc(size / PIECE, sizeof *touched);
	log_read(argv[2]);
	marks_print();
	if (pthread_create(&thread, NULL, serve, blockfs_mount(&fs, argv[3])) != 0)
		die(EXIT_UNAVAILABLE, "no thread");
	states_show(wanted, seed);
	return 0;
}
