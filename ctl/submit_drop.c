/* SPDX-License-Identifier: ISC */
#include "ctl/submit_drop.h"

#include "base/clock.h"
#include "mail/dropfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NO_REPLACE = 1 }; /* RENAME_NOREPLACE; renameat2(2), which not each C library has */

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

static bool
envelope_print(const struct submit_request *r, uint32_t uid, struct buf *head)
{
	struct dropfile d = {
		.uid = uid, .sender = r->sender, .envid = r->envid, .n_recipients = r->n_rcpt
	};
	struct dropfile_recipient *list = calloc(r->n_rcpt, sizeof *list);
	bool ok;

	if (list == NULL)
		return false;
	for (size_t i = 0; i < r->n_rcpt; i++)
		list[i] = (struct dropfile_recipient){ .address = r->rcpt[i], .notify = r->notify };
	d.recipients = list;
	d.body = r->utf8	? DROPFILE_BODY_UTF8
		 : r->eight_bit ? DROPFILE_BODY_8BIT
		 : r->seven_bit ? DROPFILE_BODY_7BIT
				: DROPFILE_BODY_NONE;
	if (r->ret.n > 0)
		d.ret = slice_iis(r->ret, "FULL") ? DROPFILE_RET_FULL : DROPFILE_RET_HDRS;
	ok = dropfile_head(&d, head);
	free(list);
	return ok;
}

static int
copy_rest(int fd, const struct submit_rest *rest, struct dropfile_sum *sum)
{
	static char piece[SUBMIT_PIECE_BYTES];
	uint64_t at = 0;
	int err = 0;

	while (rest != NULL && at < rest->bytes && err == 0) {
		size_t n =
		    rest->bytes - at < sizeof piece ? (size_t)(rest->bytes - at) : sizeof piece;

		err = submit_rest_read(rest, at, piece, n);
		if (err == 0) {
			dropfile_sum_add(sum, slice_of(piece, n));
			err = write_all(fd, slice_of(piece, n));
		}
		at += n;
	}
	return err;
}

/* Any user may write here and none may look: the group, which the folder gives, is who reads. */
static int
fill(int fd, struct slice head, const struct submit_request *r)
{
	struct dropfile_sum sum = { 0 };
	char tail[DROPFILE_TAIL + 1];
	const struct slice parts[] = { head, r->header, r->body };
	int err;

	if (fchmod(fd, 0640) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		dropfile_sum_add(&sum, parts[i]);
		if ((err = write_all(fd, parts[i])) < 0)
			return err;
	}
	if ((err = copy_rest(fd, r->rest, &sum)) < 0)
		return err;
	dropfile_tail(&sum, tail);
	return write_all(fd, slice_of(tail, DROPFILE_TAIL));
}

static int
random_bits(uint32_t *out)
{
	return getrandom(out, sizeof *out, 0) == (ssize_t)sizeof *out ? 0 : -EIO;
}

/*
 * Gives the file its name: upper-case hexadecimal, which those take for an id who count the lines
 * of mailq. A file that has the name already must not be lost, where the file system can tell.
 */
static int
rename_new(int dir, const char *part, char name[static SUBMIT_DROP_NAME])
{
	uint32_t random;

	for (int tries = 0; tries < 8; tries++) {
		if (random_bits(&random) < 0)
			return -EIO;
		snprintf(name, SUBMIT_DROP_NAME, "%011" PRIX64 "%05" PRIX32, clock_wall_ms(),
		    random & 0xfffff);
		if (syscall(SYS_renameat2, dir, part, dir, name, NO_REPLACE) == 0 ||
		    (errno == EINVAL && renameat(dir, part, dir, name) == 0))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* The file is whole under its dot name: give it its own, then wait for the storage. */
static int
commit(int dir, int fd, const char *part, char name[static SUBMIT_DROP_NAME])
{
	int err = rename_new(dir, part, name);

	if (err < 0)
		return err;
	/* Not fsync of the folder, which users may not open: all of the file system it stands on.
	 */
	if (syncfs(fd) == 0)
		return 0;
	err = -errno;
	/* Gone already: smtpd has taken it in, and it removes only what it has stored. */
	return unlinkat(dir, name, 0) < 0 && errno == ENOENT ? 0 : err;
}

static int
part_name(char part[static SUBMIT_DROP_NAME])
{
	uint32_t random;

	if (random_bits(&random) < 0)
		return -EIO;
	snprintf(part, SUBMIT_DROP_NAME, ".%ld.%08" PRIX32, (long)getpid(), random);
	return 0;
}

int
submit_drop_write(const char *folder, uint32_t uid, const struct submit_request *r,
    char name[static SUBMIT_DROP_NAME])
{
	struct buf head = { 0 };
	char part[SUBMIT_DROP_NAME];
	int dir, fd = -1, err;

	dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	err = envelope_print(r, uid, &head) ? part_name(part) : -EINVAL;
	if (err == 0) {
		fd = openat(dir, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		err = fd < 0 ? -errno : fill(fd, slice_buf(&head), r);
		if (fd >= 0 && err == 0)
			err = commit(dir, fd, part, name);
		if (fd >= 0 && err < 0)
			unlinkat(dir, part, 0);
	}
	if (fd >= 0)
		close(fd);
	close(dir);
	buf_fini(&head);
	return err;
}
