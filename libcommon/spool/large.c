/* SPDX-License-Identifier: ISC */
#include "spool/large.h"

#include "base/die.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

int
large_make(int dirfd, uint32_t number, int *writer)
{
	char name[SPOOL_NAME];
	int error;

	spool_large_name(number, name);
	*writer = openat(
	    dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*writer < 0)
		return -errno;
	error = spool_folder_sync(dirfd, SPOOL_LARGE);
	if (error == 0)
		return 0;
	close(*writer);
	*writer = -1;
	unlinkat(dirfd, name, 0);
	return error;
}

int
large_open(int dirfd, uint32_t number)
{
	char name[SPOOL_NAME];
	int fd;

	spool_large_name(number, name);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int
large_remove(int dirfd, uint32_t number)
{
	char name[SPOOL_NAME];

	spool_large_name(number, name);
	return unlinkat(dirfd, name, 0) != 0 && errno != ENOENT ? -errno : 0;
}

int
large_verify(int fd, const struct record_large *large, const char **why)
{
	struct record_verifier *v = record_verifier_new();
	char *piece = xmalloc(LARGE_PIECE_BYTES);
	uint64_t at = 0;
	ssize_t got = 1;
	int error;

	record_verifier_start_large(v, large);
	/* One byte more than there should be, so that a longer file is seen. */
	while (at <= large->bytes && got > 0) {
		uint64_t want = large->bytes + 1 - at;

		if (want > LARGE_PIECE_BYTES)
			want = LARGE_PIECE_BYTES;
		got = pread(fd, piece, want, (off_t)at);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0) {
			record_verifier_feed(v, piece, (size_t)got);
			at += (uint64_t)got;
		}
	}
	error = got < 0 ? -errno : at == large->bytes && record_verifier_end(v) ? 0 : -EBADMSG;
	*why = error == 0	   ? NULL
	       : at < large->bytes ? "its body in large/ is cut short"
				   : "its body in large/ fails its checksum";
	free(piece);
	record_verifier_free(v);
	return error;
}

struct large_hash {
	XXH3_state_t *state;
};

struct large_hash *
large_hash_new(uint32_t number)
{
	struct large_hash *h = xcalloc(1, sizeof *h);

	h->state = XXH3_createState();
	if (h->state == NULL)
		die(EXIT_TEMP, "out of memory");
	XXH3_64bits_reset_withSeed(h->state, number);
	return h;
}

void
large_hash_feed(struct large_hash *h, const void *p, size_t n)
{
	XXH3_64bits_update(h->state, p, n);
}

uint64_t
large_hash_now(const struct large_hash *h)
{
	return XXH3_64bits_digest(h->state);
}

void
large_hash_free(struct large_hash *h)
{
	if (h == NULL)
		return;
	XXH3_freeState(h->state);
	free(h);
}
