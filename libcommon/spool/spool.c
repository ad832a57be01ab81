/* SPDX-License-Identifier: ISC */
#include "spool/spool.h"

#include "base/die.h"

#include <bsd/stdlib.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void
spool_segment_name(uint32_t number, char out[static SPOOL_NAME])
{
	snprintf(out, SPOOL_NAME, SPOOL_DATA "/%010u.seg", (unsigned)number);
}

void
spool_journal_name(uint32_t number, char out[static SPOOL_NAME])
{
	snprintf(out, SPOOL_NAME, SPOOL_STATE "/journal.%010u", (unsigned)number);
}

void
spool_large_name(uint32_t number, char out[static SPOOL_NAME])
{
	snprintf(out, SPOOL_NAME, SPOOL_LARGE "/%010u", (unsigned)number);
}

static bool
ten_digits(struct slice s, uint32_t *number)
{
	uint64_t v;

	if (s.n != 10 || !slice_u64(s, &v) || v > UINT32_MAX)
		return false;
	*number = (uint32_t)v;
	return true;
}

bool
spool_segment_number(const char *name, uint32_t *number)
{
	struct slice s = slice_z(name);

	return s.n == 14 && slice_is(slice_from(s, 10), ".seg") &&
	       ten_digits(slice_head(s, 10), number);
}

bool
spool_journal_number(const char *name, uint32_t *number)
{
	struct slice s = slice_z(name);

	return s.n == 18 && slice_is(slice_head(s, 8), "journal.") &&
	       ten_digits(slice_from(s, 8), number);
}

bool
spool_large_number(const char *name, uint32_t *number)
{
	return ten_digits(slice_z(name), number);
}

const char *
spool_state_word(uint8_t state)
{
	static const char *const words[] = {
		[SPOOL_QUEUED] = "queued",
		[SPOOL_STARTED] = "started",
		[SPOOL_DELIVERED] = "delivered",
		[SPOOL_BOUNCED] = "bounced",
		[SPOOL_EXPIRED] = "expired",
		[SPOOL_EXPANDED] = "expanded",
		[SPOOL_DROPPED] = "dropped",
		[SPOOL_LOST] = "damaged",
	};

	return state > 0 && state < sizeof words / sizeof *words ? words[state] : "?";
}

static const struct {
	const char *word;
	uint8_t after;
} results[] = {
	[SPOOL_RESULT_DELIVERED] = { "delivered", SPOOL_DELIVERED },
	[SPOOL_RESULT_DEFERRED] = { "deferred", SPOOL_QUEUED },
	[SPOOL_RESULT_FAILED] = { "failed", SPOOL_BOUNCED },
	[SPOOL_RESULT_EXPIRED] = { "expired", SPOOL_EXPIRED },
	[SPOOL_RESULT_EXPANDED] = { "expanded", SPOOL_EXPANDED },
	[SPOOL_RESULT_DROPPED] = { "dropped", SPOOL_DROPPED },
	[SPOOL_RESULT_INTERRUPTED] = { "interrupted", SPOOL_QUEUED },
	[SPOOL_RESULT_DAMAGED] = { "damaged", SPOOL_LOST },
};

const char *
spool_result_word(uint8_t result)
{
	return result > 0 && result < sizeof results / sizeof *results ? results[result].word : "?";
}

uint8_t
spool_state_after(uint8_t result)
{
	return result < sizeof results / sizeof *results ? results[result].after : 0;
}

bool
spool_is_open(uint8_t state, uint8_t owed)
{
	return state == SPOOL_QUEUED || state == SPOOL_STARTED ||
	       ((state == SPOOL_BOUNCED || state == SPOOL_EXPIRED) && (owed & SPOOL_NOTICE_FAILED));
}

/* state/spool: "angarium spool <version>\nid <32 hex digits>\n" */
enum { IDENTITY_MAX = 128 };

static int
hex_digit(char c)
{
	if (ascii_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
identity_parse(struct slice s, struct spool_identity *out)
{
	static const char word[] = "angarium spool ";
	struct slice line;
	uint64_t version;

	if (!slice_next(&s, '\n', &line) || !slice_is(slice_head(line, sizeof word - 1), word) ||
	    !slice_u64(slice_from(line, sizeof word - 1), &version) || version == 0 ||
	    version > UINT16_MAX)
		return false;
	out->version = (uint32_t)version;
	if (!slice_next(&s, '\n', &line) || line.n != 3 + 2 * SPOOL_ID ||
	    !slice_is(slice_head(line, 3), "id "))
		return false;
	for (size_t i = 0; i < SPOOL_ID; i++) {
		int hi = hex_digit(line.p[3 + 2 * i]), lo = hex_digit(line.p[4 + 2 * i]);

		if (hi < 0 || lo < 0)
			return false;
		out->id[i] = (uint8_t)(hi << 4 | lo);
	}
	return s.p != NULL && s.n == 0; /* ended by its line feed, nothing behind it */
}

int
spool_identity_read(int dirfd, struct spool_identity *out)
{
	int fd = openat(dirfd, SPOOL_IDENTITY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[IDENTITY_MAX];
	ssize_t n;
	int error;

	if (fd < 0)
		return -errno;
	n = pread(fd, text, sizeof text, 0);
	error = n < 0 ? -errno : 0;
	close(fd);
	if (error != 0)
		return error;
	if (!identity_parse(slice_of(text, (size_t)n), out))
		return -EBADMSG;
	return out->version > SPOOL_VERSION ? -ENOTSUP : 0;
}

static int
write_synced(int dirfd, const char *name, struct slice text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text.p, text.n);
	if (n != (ssize_t)text.n)
		error = n < 0 ? -errno : -ENOSPC;
	else if (fsync(fd) != 0)
		error = -errno;
	if (close(fd) != 0 && error == 0)
		error = -errno;
	return error;
}

int
spool_folder_sync(int dirfd, const char *folder)
{
	int fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = fsync(fd) != 0 ? -errno : 0;
	close(fd);
	return error;
}

int
spool_number_cmp(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

int
spool_folder_list(int dirfd, const char *folder,
    bool (*number_of)(const char *name, uint32_t *number), uint32_t **numbers, size_t *count)
{
	int fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint32_t number;
	size_t room = 0;

	*numbers = NULL;
	*count = 0;
	if (dir == NULL) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	while (errno = 0, (e = readdir(dir)) != NULL) {
		if (!number_of(e->d_name, &number))
			continue;
		if (*count == room) {
			room = room == 0 ? 64 : room * 2;
			*numbers = xrealloc(*numbers, room * sizeof **numbers);
		}
		(*numbers)[(*count)++] = number;
	}
	error = -errno; /* half a list would be read as files that are gone */
	closedir(dir);
	if (error != 0) {
		free(*numbers);
		*numbers = NULL;
		*count = 0;
	} else if (*count > 1) {
		qsort(*numbers, *count, sizeof **numbers, spool_number_cmp);
	}
	return error;
}

static int
identity_make(int dirfd, struct spool_identity *out)
{
	char text[IDENTITY_MAX];
	int n, error;

	out->version = SPOOL_VERSION;
	arc4random_buf(out->id, sizeof out->id);
	n = snprintf(text, sizeof text, "angarium spool %d\nid ", SPOOL_VERSION);
	for (size_t i = 0; i < SPOOL_ID; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%02x", out->id[i]);
	text[n++] = '\n';
	/* Under its own name only when whole: a cut before the rename leaves no spool, so no loss.
	 */
	error = write_synced(dirfd, SPOOL_IDENTITY ".new", slice_of(text, (size_t)n));
	if (error == 0 && renameat(dirfd, SPOOL_IDENTITY ".new", dirfd, SPOOL_IDENTITY) != 0)
		error = -errno;
	return error == 0 ? spool_folder_sync(dirfd, SPOOL_STATE) : error;
}

int
spool_make(int dirfd, struct spool_identity *out)
{
	static const char *const folders[] = { SPOOL_DATA, SPOOL_STATE, SPOOL_LARGE,
		SPOOL_DAMAGED };
	int error;

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
		if (mkdirat(dirfd, folders[i], 0700) != 0 && errno != EEXIST)
			return -errno;
	error = spool_folder_sync(dirfd, ".");
	if (error != 0)
		return error;
	error = spool_identity_read(dirfd, out);
	return error == -ENOENT ? identity_make(dirfd, out) : error;
}

int
spool_lock(int dirfd, bool wait)
{
	int fd = openat(dirfd, SPOOL_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error;

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
		if (errno == EINTR)
			continue;
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}
