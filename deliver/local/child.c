/* SPDX-License-Identifier: ISC */
#include "deliver/local/child.h"

#include "base/clock.h"
#include "conf/conf.h"
#include "deliver/local/mailbox.h"
#include "deliver/local/maildir.h"
#include "deliver/local/mbox.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct child {
	const struct child_order *o;
	struct letter letter;
	struct user user;
	struct mailbox box;
};

static _Noreturn void
report(const struct child *c, enum outcome_kind kind, const uint8_t enh[3], const char *text)
{
	struct child_report r = { .kind = (uint8_t)kind };

	memcpy(r.enh, enh, 3);
	r.text_n = (uint16_t)snprintf(r.text, sizeof r.text, "%s", text);
	if (r.text_n >= sizeof r.text)
		r.text_n = sizeof r.text - 1;
	_exit(write(c->o->report_fd, &r, sizeof r) == sizeof r ? 0 : 1);
}

static _Noreturn void
temp(const struct child *c, uint8_t subject, uint8_t detail, const char *what, int err)
{
	const uint8_t enh[3] = { 4, subject, detail };
	char text[CHILD_TEXT];

	snprintf(
	    text, sizeof text, "%s%s%s", what, err != 0 ? ": " : "", err != 0 ? strerror(err) : "");
	report(c, OUTCOME_TEMP, enh, text);
}

/* What an errno of a file system says of the mailbox (RFC 3463 3.3, 3.4). */
static _Noreturn void
failed(const struct child *c, const char *what, int err)
{
	switch (err) {
	case EDQUOT:
	case EFBIG:
		temp(c, 2, 2, what, err); /* mailbox full */
	case ENOSPC:
		temp(c, 3, 1, what, err); /* mail system full */
	case EAGAIN:
		temp(c, 2, 0, what, 0); /* locked */
	case EBADF:
		temp(c, 2, 0, what, 0); /* odd: `what` says it */
	case EACCES:
	case EPERM:
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
		temp(c, 2, 0, what, err);
	}
	temp(c, 3, 0, what, err);
}

static int
compare_fd(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/*
 * Nothing stays open but what tells the result, what the body is read from, and, until its mailbox
 * is open (folder -1), the folders that it may have to be reached through.
 */
static void
close_others(const struct child *c, int folder)
{
	int fds[SANDBOX_MORE_MAX + 4] = { 2, c->o->report_fd };
	unsigned n = 2;

	if (c->letter.body_fd >= 0)
		fds[n++] = c->letter.body_fd;
	if (folder >= 0)
		fds[n++] = folder;
	for (unsigned i = 0; folder < 0 && i < c->o->nheld; i++)
		fds[n++] = c->o->held[i];
	qsort(fds, n, sizeof *fds, compare_fd);
	for (unsigned i = 0; i < n; i++) {
		unsigned from = (unsigned)fds[i] + 1;
		unsigned to = i + 1 < n ? (unsigned)fds[i + 1] - 1 : ~0U;

		if (from <= to)
			close_range(from, to, 0);
	}
}

static void
settle(const struct child *c)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGCHLD, SIGALRM };
	sigset_t none;

	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The kernel ends what hangs: nobody of another user could. The sandbox has no way to undo it. */
	alarm((unsigned)(c->o->conf->local_time_ms / 1000) + CHILD_GRACE_S);
}

static void
find_user(struct child *c)
{
	const struct user_how how = { .table = c->o->table,
		.delimiters = c->o->conf->recipient_delimiter,
		.uid_min = c->o->conf->local_uid_min };
	char local_part[USERS_NAME_MAX + 1];
	struct buf why = { 0 };
	uint8_t enh[3] = { 5, 1, 1 };
	enum outcome_kind kind;

	if (!user_local_part(c->letter.recipient, local_part))
		report(c, OUTCOME_PERM, enh, "the address is no user's name");
	kind = user_find(local_part, &how, &c->user, enh, &why);
	if (kind != OUTCOME_OK) {
		buf_putc(&why, '\0');
		report(c, kind, enh, why.p);
	}
}

static void
find_mailbox(struct child *c)
{
	const char *why;
	int err = mailbox_find(&c->box, &c->user, c->o->conf->mailbox, c->o->conf->mail_dir, &why);

	if (err != 0)
		failed(c, why, -err);
}

static void
become(struct child *c)
{
	struct user *u = &c->user;
	gid_t gid = c->box.in_mail_dir && c->o->mail_gid != 0 ? c->o->mail_gid : u->gid;
	const char *step;
	char what[CHILD_TEXT];
	int err = priv_become(u->uid, gid, u->groups, (size_t)u->ngroups, &step);

	if (err == 0)
		return;
	snprintf(what, sizeof what, "cannot become user %s: %s", u->name, step);
	temp(c, 3, 0, what, -err);
}

static int
open_folder(const struct child *c)
{
	const char *why;
	int fd = mailbox_open(&c->box, c->user.uid, &why);

	if (fd < 0)
		failed(c, why, -fd);
	return fd;
}

static void
enter_sandbox(const struct child *c, int folder)
{
	struct sandbox s = SANDBOX_INIT;
	const char *step;
	char what[CHILD_TEXT];
	int err;

	if (c->o->sandbox_off)
		return;
	s.dir[SANDBOX_HOME] = folder;
	err = sandbox_try(PROFILE_LOCAL_CHILD, &s, &step);
	if (err == 0)
		return;
	snprintf(what, sizeof what, "cannot enter the sandbox: %s", step);
	temp(c, 3, 0, what, -err);
}

static void
make_letter(struct child *c)
{
	const struct delivery *d = c->o->d;

	c->letter = (struct letter){ .sender = d->envelope.sender,
		.recipient = c->o->rcpt->address,
		.original = c->o->rcpt->original,
		.content = &d->content,
		.body_fd = d->body.fd,
		.body_at = d->body.from,
		.body_bytes = d->body.bytes,
		.until_mono_ms = clock_mono_ms() + c->o->conf->local_time_ms };
}

void
child_run(const struct child_order *o)
{
	static struct child c;
	static const uint8_t done[3] = { 2, 0, 0 }, loop[3] = { 5, 4, 6 };
	const char *what = "";
	int folder, err;

	c.o = o;
	make_letter(&c);
	close_others(&c, -1);
	settle(&c);
	find_user(&c);
	find_mailbox(&c);
	become(&c);
	folder = open_folder(&c);
	close_others(&c, folder);
	enter_sandbox(&c, folder);
	if (letter_loops(&c.letter))
		report(&c, OUTCOME_PERM, loop,
		    "the message was delivered to this address before (Delivered-To): a loop");
	if (c.box.maildir)
		err = maildir_deliver(folder, &c.letter, o->conf->hostname, &what);
	else
		err = mbox_deliver(folder, c.box.name,
		    &(const struct mbox_how){ .owner = c.user.uid,
			.lock_ms = o->conf->mailbox_lock_ms,
			.mark = o->lock_mark },
		    &c.letter, &what);
	if (err != 0)
		failed(&c, what, -err);
	report(
	    &c, OUTCOME_OK, done, c.box.maildir ? "delivered to Maildir" : "delivered to mailbox");
}

void
child_end(const struct child_order *o)
{
	static struct child c;

	c.o = o;
	make_letter(&c);
	close_others(&c, -1);
	settle(&c);
	find_user(&c);
	if (setresuid(-1U, c.user.uid, -1U) == 0)
		kill(o->stopped, SIGKILL);
	_exit(0);
}
