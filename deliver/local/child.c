/* SPDX-License-Identifier: ISC */
#include "deliver/local/child.h"

#include "base/clock.h"
#include "conf/conf.h"
#include "deliver/local/maildir.h"
#include "deliver/local/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 2 * USERS_PATH_MAX + 8 };

struct child {
	const struct child_order *o;
	struct letter letter;
	struct user user;
	/* Its mailbox: */
	char folder[PATH_BYTES]; /* the Maildir, or where the mbox lies */
	char name[MBOX_NAME_MAX + 1];
	bool maildir, in_mail_dir, may_make;
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

	snprintf(text, sizeof text, "%s%s%s", what, err != 0 ? ": " : "", err != 0 ? strerror(err) : "");
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

/* Nothing stays open but what tells the result and what the body is read from. */
static void
close_others(const struct child *c)
{
	int a = c->o->report_fd, b = c->letter.body_fd, low, high;

	if (b < 0 || b == a)
		b = a;
	low = a < b ? a : b;
	high = a < b ? b : a;
	if (low > 3)
		close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0U, 0);
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

/* The table's word for this user, then the configuration's, then the mbox in mail_dir. */
static void
find_mailbox(struct child *c)
{
	const char *box = c->user.mailbox[0] != '\0' ? c->user.mailbox : c->o->conf->mailbox;
	char path[PATH_BYTES], *slash;
	int n;

	if (box == NULL) {
		c->in_mail_dir = true;
		n = snprintf(path, sizeof path, "%s/%s", c->o->conf->mail_dir, c->user.name);
	} else if (box[0] == '/')
		n = snprintf(path, sizeof path, "%s", box);
	else
		n = snprintf(path, sizeof path, "%s/%s", c->user.home, box);
	if (n >= (int)sizeof path)
		failed(c, "the path of the mailbox is too long", EBADF);
	c->maildir = path[n - 1] == '/';
	if (c->maildir) {
		memcpy(c->folder, path, sizeof path);
		return;
	}
	slash = strrchr(path, '/');
	if (slash == NULL || !slice_copy(slice_z(slash + 1), c->name, sizeof c->name))
		failed(c, "the name of the mailbox is too long", EBADF);
	slash[1] = '\0';
	memcpy(c->folder, path, sizeof path);
}

static void
become(struct child *c)
{
	struct user *u = &c->user;
	gid_t gid = c->in_mail_dir && c->o->mail_gid != 0 ? c->o->mail_gid : u->gid;
	const char *step;
	char what[CHILD_TEXT];
	int err = priv_become(u->uid, gid, u->groups, (size_t)u->ngroups, &step);

	if (err == 0)
		return;
	snprintf(what, sizeof what, "cannot become user %s: %s", u->name, step);
	temp(c, 3, 0, what, -err);
}

/* As the user. A Maildir is made where it is missing, its home is not. */
static int
open_folder(struct child *c)
{
	int fd, home;
	struct stat st;

	home = open(c->user.home, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (home < 0 && !c->in_mail_dir && c->user.mailbox[0] != '/')
		failed(c, "open the home folder", errno);
	if (c->maildir && mkdirat(AT_FDCWD, c->folder, 0700) == 0 && home >= 0) {
		/* Its own name is to last as well. */
		int above = open(c->user.home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (above >= 0) {
			fsync(above);
			close(above);
		}
	}
	if (home >= 0)
		close(home);
	fd = open(c->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		failed(c, c->maildir ? "open the Maildir" : "open the folder of the mailbox", errno);
	if (c->maildir && (fstat(fd, &st) != 0 || st.st_uid != c->user.uid))
		failed(c, "the Maildir belongs to another user", EBADF);
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
	close_others(&c);
	settle(&c);
	find_user(&c);
	find_mailbox(&c);
	become(&c);
	folder = open_folder(&c);
	enter_sandbox(&c, folder);
	if (letter_loops(&c.letter))
		report(&c, OUTCOME_PERM, loop,
		    "the message was delivered to this address before (Delivered-To): a loop");
	if (c.maildir)
		err = maildir_deliver(folder, &c.letter, o->conf->hostname, &what);
	else
		err = mbox_deliver(folder, c.name,
		    &(const struct mbox_how){ .owner = c.user.uid, .lock_ms = o->conf->mailbox_lock_ms },
		    &c.letter, &what);
	if (err != 0)
		failed(&c, what, -err);
	report(&c, OUTCOME_OK, done, c.maildir ? "delivered to Maildir" : "delivered to mailbox");
}
