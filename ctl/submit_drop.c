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
#include <unistd.h>

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
	dropfile_tail(&sum, tail);
	return write_all(fd, slice_of(tail, DROPFILE_TAIL));
}

/* Upper-case hexadecimal: a word to those who count the ids of mailq's lines. */
static int
names_make(char part[static SUBMIT_DROP_NAME], char name[static SUBMIT_DROP_NAME])
{
	uint32_t random;

	if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
		return -EIO;
	snprintf(part, SUBMIT_DROP_NAME, ".%ld.%08" PRIX32, (long)getpid(), random);
	snprintf(name, SUBMIT_DROP_NAME, "%014" PRIX64 "%08" PRIX32, clock_wall_us(), random);
	return 0;
}

/* The file is whole under its dot name: give it its own, then wait for the storage. */
static int
commit(int dir, int fd, const char *part, const char *name)
{
	int err;

	/* The name is random and new; a file that has it all the same must not be lost. */
	if (renameat2(dir, part, dir, name, RENAME_NOREPLACE) < 0)
		return -errno;
	/* Not fsync of the folder, which users may not open: all of the file system it stands on.
	 */
	if (syncfs(fd) == 0)
		return 0;
	err = -errno;
	unlinkat(dir, name, 0);
	return err;
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
	err = envelope_print(r, uid, &head) ? names_make(part, name) : -EINVAL;
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
