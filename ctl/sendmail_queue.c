/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail.h"

#include "base/die.h"
#include "ctl/queue_print.h"
#include "ipc/ctl_client.h"
#include "mail/dropfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* mailq and -q: qmgr's control socket; what waits in the drop folder while nothing runs. */

enum { CONNECT_MS = 5000, CALL_MS = 60 * 1000, WRITE_BYTES = 64 * 1024, DROP_RCPT_MAX = 100000 };

/* A control call to qmgr: its status, or -errno. */
static int
call_qmgr(const struct sendmail_places *at, const char *verb, const char *const *words,
    bool (*out)(struct slice piece, void *arg), void *arg, char *text, size_t text_size)
{
	int dir = open(at->ctl, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, r;

	if (dir < 0)
		return -errno;
	fd = ctl_connect(dir, "qmgr", CONNECT_MS);
	close(dir);
	if (fd < 0)
		return fd;
	r = ctl_call(fd, verb, words, CALL_MS, out, arg, text, text_size);
	close(fd);
	return r;
}

struct listing {
	struct queue_print print;
	struct buf out;
	bool failed; /* stdout takes no more */
};

static void
write_out(struct listing *l)
{
	if (fwrite(l->out.p != NULL ? l->out.p : "", 1, l->out.n, stdout) != l->out.n)
		l->failed = true;
	buf_reset(&l->out);
}

static bool
on_piece(struct slice piece, void *arg)
{
	struct listing *l = arg;

	queue_print_feed(&l->print, piece, &l->out);
	if (l->out.n >= WRITE_BYTES)
		write_out(l);
	return !l->failed;
}

/* The lines that qmgr would write for this file, state "drop". */
static void
list_drop(struct listing *l, const char *name, const struct dropfile *d, const struct stat *st)
{
	struct buf line = { 0 }, number = { 0 };

	buf_putc(&line, 'M');
	queue_print_field(&line, slice_z(name));
	queue_print_field(&line, SLICE_LIT("drop"));
	buf_printf(&number, "%zu", d->message.n);
	queue_print_field(&line, slice_buf(&number));
	buf_reset(&number);
	buf_printf(&number, "%" PRIu64, (uint64_t)st->st_mtim.tv_sec * 1000);
	queue_print_field(&line, slice_buf(&number));
	queue_print_field(&line, d->sender);
	buf_putc(&line, '\n');
	for (size_t i = 0; i < d->n_recipients; i++) {
		buf_putc(&line, 'R');
		queue_print_field(&line, d->recipients[i].address);
		queue_print_field(&line, SLICE_LIT("drop"));
		queue_print_field(&line, i == 0 ? SLICE_LIT("mail system is down") : SLICE_NONE);
		buf_putc(&line, '\n');
	}
	on_piece(slice_buf(&line), l);
	buf_fini(&line);
	buf_fini(&number);
}

/* A file that anybody may have put there: looked at, never waited for. */
static void
look_at_drop(struct listing *l, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct arena arena = { 0 };
	struct dropfile d;
	struct stat st;
	const char *why;
	void *p = MAP_FAILED;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size > 0)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p != MAP_FAILED) {
		if (dropfile_parse(
			slice_of(p, (size_t)st.st_size), DROP_RCPT_MAX, &arena, &d, &why) &&
		    d.uid == st.st_uid)
			list_drop(l, name, &d, &st);
		munmap(p, (size_t)st.st_size);
	}
	arena_fini(&arena);
	close(fd);
}

/* Nothing runs: root can still read what was left. */
static void
list_drops(struct listing *l, const struct sendmail_places *at)
{
	DIR *dir = opendir(at->drop);
	struct dirent *e;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			look_at_drop(l, dirfd(dir), e->d_name);
	closedir(dir);
}

static int
queue_down(struct listing *l, const struct sendmail_places *at, int err)
{
	complain("mail system is down: %s", strerror(-err));
	if (geteuid() != 0)
		return EXIT_UNAVAILABLE;
	list_drops(l, at);
	return 0;
}

int
sendmail_queue(const struct sendmail_places *at)
{
	struct listing l = { 0 };
	char text[512] = "";
	int r = call_qmgr(at, "mailq", NULL, on_piece, &l, text, sizeof text);
	int code = 0;

	if (r < 0 && l.print.messages == 0) {
		code = queue_down(&l, at, r);
	} else if (r != 0) {
		complain("the list is not complete: %s", r < 0 ? strerror(-r) : text);
		code = EXIT_TEMP;
	}
	if (code == 0)
		queue_print_end(&l.print, &l.out);
	write_out(&l);
	if (fflush(stdout) != 0 || l.failed)
		code = EXIT_TEMP;
	queue_print_fini(&l.print);
	buf_fini(&l.out);
	return code;
}

int
sendmail_flush(const struct sendmail_options *o, const struct sendmail_places *at)
{
	const char *words[3] = { NULL };
	char text[512] = "";
	int r;

	if (o->flush[0] != '\0') {
		words[0] = o->flush[0] == 'I' ? "id" : o->flush[0] == 'R' ? "recipient" : "sender";
		words[1] = o->flush + 1;
	}
	r = call_qmgr(at, "flush", words, NULL, NULL, text, sizeof text);
	if (r < 0) {
		complain("mail system is down: %s", strerror(-r));
		return EXIT_UNAVAILABLE;
	}
	if (r != 0)
		complain("%s", text);
	return r > 255 ? EXIT_SOFTWARE : r;
}
