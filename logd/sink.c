/* SPDX-License-Identifier: ISC */
#include "logd/sink.h"

#include "base/die.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GATHER_MS = 20, GATHER_BYTES = 16 * 1024, RETRY_MS = 1000, WAITING_MAX = 4 * 1024 * 1024 };

struct sink {
	int dirfd, fd;
	const char *name;
	struct buf waiting;
	bool cut; /* what waits begins within a line: its begin is in the file */
	dev_t dev;
	ino_t ino; /* of the file */
	struct timer *timer;
	uint64_t lines, lost;
	int error;
};

/* Bytes up to the end of the first line from `at` on. */
static size_t
line_end(const struct sink *s, size_t at)
{
	ptrdiff_t end = slice_find(slice_from(slice_buf(&s->waiting), at), '\n');

	return end < 0 ? s->waiting.n : at + (size_t)end + 1;
}

/* A process that was killed as it wrote has left half a line: what follows is no part of it. */
static void
end_half_line(struct sink *s, off_t size)
{
	int fd = openat(s->dirfd, s->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char last = '\n';

	if (fd < 0)
		return;
	if (pread(fd, &last, 1, size - 1) == 1 && last != '\n' && write(s->fd, "\n", 1) == 1)
		s->lost++;
	close(fd);
}

static void
open_file(struct sink *s)
{
	struct stat st = { 0 };

	s->fd =
	    openat(s->dirfd, s->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	s->error = s->fd < 0 ? errno : 0;
	if (s->fd < 0 || fstat(s->fd, &st) != 0)
		return;
	/* In another file the rest of a line is worth nothing without its begin. */
	if (s->cut && (st.st_dev != s->dev || st.st_ino != s->ino)) {
		buf_drop(&s->waiting, line_end(s, 0));
		s->lost++;
		s->cut = false;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	if (!s->cut && st.st_size > 0)
		end_half_line(s, st.st_size);
}

/* The oldest whole lines go, a quarter at once so that each is not moved for; a line begun is kept.
 */
static void
shed(struct sink *s)
{
	size_t keep = s->cut ? line_end(s, 0) : 0, end = keep;

	if (s->waiting.n <= WAITING_MAX)
		return;
	while (end < s->waiting.n && s->waiting.n - end > WAITING_MAX / 4 * 3) {
		end = line_end(s, end);
		s->lost++;
	}
	memmove(s->waiting.p + keep, s->waiting.p + end, s->waiting.n - end);
	s->waiting.n -= end - keep;
}

void
sink_flush(struct sink *s)
{
	timer_stop(s->timer);
	if (s->fd < 0)
		open_file(s);
	while (s->fd >= 0 && s->waiting.n > 0) {
		ssize_t n = write(s->fd, s->waiting.p, s->waiting.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->error = n < 0 ? errno : ENOSPC;
			break;
		}
		s->error = 0;
		s->cut = s->waiting.p[n - 1] != '\n';
		buf_drop(&s->waiting, (size_t)n);
	}
	if (s->waiting.n > 0) {
		shed(s);
		timer_set(s->timer, RETRY_MS);
	}
}

static void
on_time(void *arg)
{
	sink_flush(arg);
}

struct sink *
sink_new(struct loop *l, int log_dirfd, const char *name)
{
	struct sink *s = xcalloc(1, sizeof *s);

	s->dirfd = log_dirfd;
	s->name = name;
	s->timer = timer_new(l, on_time, s);
	open_file(s);
	return s;
}

void
sink_free(struct sink *s)
{
	if (s == NULL)
		return;
	sink_flush(s);
	timer_free(s->timer);
	if (s->fd >= 0)
		close(s->fd);
	buf_fini(&s->waiting);
	free(s);
}

struct buf *
sink_buf(struct sink *s)
{
	return &s->waiting;
}

void
sink_line_done(struct sink *s, bool urgent)
{
	s->lines++;
	if (s->error != 0 && s->waiting.n > WAITING_MAX)
		shed(s);
	if (s->error == 0 && (urgent || s->waiting.n >= GATHER_BYTES))
		sink_flush(s);
	else if (!timer_is_set(s->timer))
		timer_set(s->timer, s->error != 0 ? RETRY_MS : GATHER_MS);
}

void
sink_reopen(struct sink *s)
{
	sink_flush(s);
	if (s->fd >= 0)
		close(s->fd);
	open_file(s);
}

uint64_t
sink_lines(const struct sink *s)
{
	return s->lines;
}

uint64_t
sink_lost(const struct sink *s)
{
	return s->lost;
}

int
sink_error(const struct sink *s)
{
	return s->error;
}
