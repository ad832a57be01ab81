/* SPDX-License-Identifier: ISC */
/* A control server in this process, its callers in children: who may say what, and what comes back.
 */
#include "../../check_main.h"

#include "base/log.h"
#include "ipc/ctl.h"
#include "ipc/ctl_client.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ADMIN_GID = 47001, NOBODY = 47002, OTHER = 47003, LONG_LINES = 20000, WAIT_MS = 20000 };

/* What a child saw, written to its parent as it is. */
struct heard {
	int status;
	char text[128];
	size_t n;
	char out[128]; /* the first of n bytes */
	int more[4];
};

struct world {
	struct loop *loop;
	struct ctl_server *server;
	char dir[64];
	int dirfd, fd;
	struct watch *watch;
	int pipe[2];
	pid_t child;
	struct heard heard;
	bool got;
	/* of the verbs: */
	unsigned states, last_line;
	uint64_t tokens[4];
	unsigned ntokens;
	struct deferred later;
	uint64_t awaited;
};

static void
verb_echo(struct ctl_call *c, struct slice args)
{
	struct world *w = ctl_arg(c);
	struct slice word;

	for (unsigned i = 0; i < w->ntokens; i++)
		ck_assert_ptr_null(ctl_by_token(w->server, w->tokens[i]));
	ck_assert_ptr_eq(ctl_by_token(w->server, ctl_token(c)), c);
	if (w->ntokens < 4)
		w->tokens[w->ntokens++] = ctl_token(c);
	buf_printf(ctl_out(c), "%u %s", (unsigned)ctl_uid(c), ctl_is_admin(c) ? "admin" : "user");
	while (ctl_word(&args, &word))
		buf_printf(ctl_out(c), " %.*s", SLICE_ARG(word));
	buf_putc(ctl_out(c), '\n');
	ctl_end(c, 0, NULL);
}

static void
verb_fail(struct ctl_call *c, struct slice args)
{
	(void)args;
	ctl_end(c, 69, "not today");
	ctl_end(c, 0, NULL); /* the first end holds */
}

struct lines {
	struct world *world;
	unsigned next;
};

static void
lines_free(void *arg)
{
	struct lines *l = arg;

	l->world->states--;
	l->world->last_line = l->next;
	free(l);
}

static void
lines_more(struct ctl_call *c, void *state)
{
	struct lines *l = state;

	while (l->next < LONG_LINES && ctl_out(c)->n < 32 * 1024)
		buf_printf(ctl_out(c), "line %u\n", l->next++);
	if (l->next == LONG_LINES)
		ctl_end(c, 0, NULL);
}

/* The same, but each step says anew how it goes on, with the state it has. */
static void
lines_again(struct ctl_call *c, void *state)
{
	lines_more(c, state);
	ctl_more(c, lines_again, state, lines_free);
}

static void
lines_again_without(struct ctl_call *c, void *state)
{
	lines_more(c, state);
	ctl_more(c, lines_again_without, state, NULL);
}

static void
start_lines(struct ctl_call *c, void (*more)(struct ctl_call *, void *))
{
	struct world *w = ctl_arg(c);
	struct lines *l = malloc(sizeof *l);

	*l = (struct lines){ .world = w };
	w->states++;
	ctl_more(c, more, l, lines_free);
}

static void
verb_long(struct ctl_call *c, struct slice args)
{
	(void)args;
	start_lines(c, lines_more);
}

static void
verb_again(struct ctl_call *c, struct slice args)
{
	(void)args;
	start_lines(c, lines_again);
}

static void
verb_without(struct ctl_call *c, struct slice args)
{
	(void)args;
	start_lines(c, lines_again_without);
}

static void
later(void *arg)
{
	struct world *w = arg;
	struct ctl_call *c = ctl_by_token(w->server, w->awaited);

	if (c == NULL)
		return;
	buf_puts(ctl_out(c), "later\n");
	ctl_end(c, 0, NULL);
}

static void
verb_later(struct ctl_call *c, struct slice args)
{
	struct world *w = ctl_arg(c);

	(void)args;
	w->awaited = ctl_token(c);
	w->later = (struct deferred){ .fn = later, .arg = w };
	loop_defer(w->loop, &w->later);
}

static void
verb_never(struct ctl_call *c, struct slice args)
{
	(void)args;
	buf_puts(ctl_out(c), "one line\n");
}

static const struct ctl_verb verbs[] = {
	{ "echo", CTL_ANYONE, true, verb_echo, "" },
	{ "admin", CTL_ADMIN, false, verb_echo, "" },
	{ "fail", CTL_ANYONE, true, verb_fail, "" },
	{ "long", CTL_ANYONE, true, verb_long, "" },
	{ "again", CTL_ANYONE, true, verb_again, "" },
	{ "without", CTL_ANYONE, true, verb_without, "" },
	{ "later", CTL_ANYONE, true, verb_later, "" },
	{ "never", CTL_ANYONE, true, verb_never, "" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
open_world(struct world *w)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	*w = (struct world){ .loop = loop_new() };
	log_open(SERVICE_LOGD);
	snprintf(w->dir, sizeof w->dir, "/tmp/test_ctl.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	ck_assert_int_eq(chmod(w->dir, 0755), 0);
	w->dirfd = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/logd", w->dir);
	w->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(w->fd, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(chmod(sun.sun_path, 0666), 0);
	ck_assert_int_eq(listen(w->fd, 100), 0);
	w->server = ctl_serve(w->loop, w->fd, verbs, ADMIN_GID, w);
}

static void
close_world(struct world *w)
{
	char path[96];

	for (int i = 0; i < 4; i++)
		loop_turn(w->loop, false);
	ck_assert_uint_eq(w->states, 0);
	ctl_server_free(w->server);
	loop_free(w->loop);
	close(w->fd);
	close(w->dirfd);
	snprintf(path, sizeof path, "%s/logd", w->dir);
	unlink(path);
	rmdir(w->dir);
}

static void
on_pipe(int fd, int ready, void *arg)
{
	struct world *w = arg;

	(void)ready;
	w->got = read(fd, &w->heard, sizeof w->heard) == (ssize_t)sizeof w->heard;
	watch_want(w->watch, 0);
	loop_stop(w->loop);
}

static void
too_late(void *arg)
{
	loop_stop(((struct world *)arg)->loop);
}

/* Runs fn in a child while the server serves; then w->heard holds what it saw. */
static void
in_child(
    struct world *w, void (*fn)(struct world *w, struct heard *h, const void *arg), const void *arg)
{
	struct timer *limit = timer_new(w->loop, too_late, w);
	int status;

	ck_assert_int_eq(pipe2(w->pipe, O_CLOEXEC), 0);
	w->got = false;
	w->child = fork();
	ck_assert_int_ge(w->child, 0);
	if (w->child == 0) {
		struct heard h = { 0 };

		fn(w, &h, arg);
		_exit(write(w->pipe[1], &h, sizeof h) == (ssize_t)sizeof h ? 0 : 1);
	}
	close(w->pipe[1]);
	w->watch = watch_new(w->loop, w->pipe[0], on_pipe, w);
	watch_want(w->watch, WATCH_READ);
	timer_set(limit, WAIT_MS);
	loop_run(w->loop);
	watch_free(w->watch);
	timer_free(limit);
	close(w->pipe[0]);
	if (!w->got)
		kill(w->child, SIGKILL);
	ck_assert_int_eq(waitpid(w->child, &status, 0), w->child);
	ck_assert_msg(w->got, "the caller saw no end");
}

static bool
gather(struct slice piece, void *arg)
{
	struct heard *h = arg;

	if (h->n < sizeof h->out - 1)
		slice_copy(piece, h->out + h->n, sizeof h->out - h->n);
	h->n += piece.n;
	return true;
}

static void
call(int fd, const char *verb, const char *const *words, struct heard *h)
{
	h->status =
	    fd < 0 ? fd : ctl_call(fd, verb, words, WAIT_MS, gather, h, h->text, sizeof h->text);
}

/* Rights are decided by the user and the groups that the kernel tells. */
static const struct {
	uid_t uid;
	gid_t gid, extra;
	const char *verb, *words[3];
	int status;
	const char *out, *text;
} rights[] = {
	{ 0, 0, 0, "echo", { "a", "b c" }, 0, "0 admin a b c\n", "" },
	{ 0, 0, 0, "admin", { NULL }, 0, "0 admin\n", "" },
	{ NOBODY, NOBODY, NOBODY, "echo", { "" }, 0, "47002 user \n", "" },
	{ NOBODY, NOBODY, NOBODY, "admin", { NULL }, 77, "",
	    "not allowed: for root and the group _angadm" },
	{ NOBODY, ADMIN_GID, NOBODY, "admin", { NULL }, 0, "47002 admin\n", "" },
	{ NOBODY, NOBODY, ADMIN_GID, "admin", { NULL }, 0, "47002 admin\n", "" },
	{ NOBODY, NOBODY, OTHER, "admin", { NULL }, 77, "",
	    "not allowed: for root and the group _angadm" },
	{ 0, 0, 0, "nonsense", { NULL }, 64, "", "no such verb here" },
	{ 0, 0, 0, "", { NULL }, 64, "", "no such verb here" },
	{ 0, 0, 0, "fail", { NULL }, 69, "", "not today" },
	{ 0, 0, 0, "later", { NULL }, 0, "later\n", "" },
};

static void
child_rights(struct world *w, struct heard *h, const void *arg)
{
	size_t i = *(const int *)arg;

	if (rights[i].uid != 0 && (setgroups(1, &rights[i].extra) != 0 ||
				      setgid(rights[i].gid) != 0 || setuid(rights[i].uid) != 0)) {
		h->status = -EPERM;
		return;
	}
	call(ctl_connect(w->dirfd, "logd", WAIT_MS), rights[i].verb, rights[i].words, h);
}

START_TEST(who_may_say_what)
{
	struct world w;

	if (geteuid() != 0 && rights[_i].uid != geteuid()) {
		fprintf(stderr, "skipped: needs root\n");
		return;
	}
	open_world(&w);
	in_child(&w, child_rights, &_i);
	ck_assert_int_eq(w.heard.status, rights[_i].status);
	ck_assert_str_eq(w.heard.out, rights[_i].out);
	ck_assert_str_eq(w.heard.text, rights[_i].text);
	close_world(&w);
}
END_TEST

/* What changes something is told in the log, what was refused too, what only looks is not. */
START_TEST(what_is_logged)
{
	static const struct {
		int row;
		const char *line;
	} want[] = { { 0, "" }, { 1, "control verb=\"admin\" uid=0 " },
		{ 3, "reason=\"not allowed\"" } };
	struct world w;
	struct slice in;
	struct log_record r;
	struct buf text = { 0 };
	uint64_t lost;

	if (geteuid() != 0)
		return;
	open_world(&w);
	in_child(&w, child_rights, &want[_i].row);
	in = log_pending(&lost);
	while (log_record_next(&in, &r))
		log_format_text(&text, &r);
	buf_putc(&text, '\0');
	if (want[_i].line[0] == '\0')
		ck_assert_str_eq(text.p, "");
	else
		ck_assert_msg(strstr(text.p, want[_i].line) != NULL, "%s", text.p);
	buf_fini(&text);
	close_world(&w);
}
END_TEST

static void
child_verbs(struct world *w, struct heard *h, const void *arg)
{
	const char *const *names = arg;
	int fd = ctl_connect(w->dirfd, "logd", WAIT_MS);

	for (int i = 0; names[i] != NULL; i++) {
		h->n = 0;
		call(fd, names[i], NULL, h);
		h->more[i] = h->status;
	}
}

/* One connection serves verb after verb; what outlives a verb cannot mistake the next one for it.
 */
START_TEST(verb_after_verb)
{
	static const char *const names[] = { "echo", "fail", "echo", "later", NULL };
	struct world w;

	open_world(&w);
	in_child(&w, child_verbs, names);
	ck_assert_int_eq(w.heard.more[0], 0);
	ck_assert_int_eq(w.heard.more[1], 69);
	ck_assert_int_eq(w.heard.more[2], 0);
	ck_assert_int_eq(w.heard.more[3], 0);
	ck_assert_str_eq(w.heard.out, "later\n");
	ck_assert_uint_eq(w.ntokens, 2);
	ck_assert_uint_ne(w.tokens[0], w.tokens[1]);
	close_world(&w);
}
END_TEST

struct counted {
	struct heard *h;
	struct buf part;
	unsigned next;
	bool wrong;
};

static bool
count_lines(struct slice piece, void *arg)
{
	struct counted *k = arg;
	ptrdiff_t end;
	char want[32];

	k->h->n += piece.n;
	while ((end = slice_find(piece, '\n')) >= 0) {
		buf_put(&k->part, piece.p, (size_t)end);
		snprintf(want, sizeof want, "line %u", k->next++);
		k->wrong |= !slice_is(slice_buf(&k->part), want);
		buf_reset(&k->part);
		piece = slice_from(piece, (size_t)end + 1);
	}
	buf_slice(&k->part, piece);
	return true;
}

static void
child_long(struct world *w, struct heard *h, const void *arg)
{
	static struct counted k;
	int fd = ctl_connect(w->dirfd, "logd", WAIT_MS);

	k.h = h;
	h->status =
	    fd < 0 ? fd
		   : ctl_call(fd, arg, NULL, WAIT_MS, count_lines, &k, h->text, sizeof h->text);
	h->more[0] = (int)k.next;
	h->more[1] = k.wrong;
}

/* However the steps are handed on: every line in order, and the state freed once (san,
 * close_world()). */
START_TEST(long_answers)
{
	static const char *const names[] = { "long", "again", "without" };
	struct world w;

	open_world(&w);
	in_child(&w, child_long, names[_i]);
	ck_assert_int_eq(w.heard.status, 0);
	ck_assert_int_eq(w.heard.more[0], LONG_LINES);
	ck_assert_int_eq(w.heard.more[1], 0);
	ck_assert_uint_eq(w.last_line, LONG_LINES);
	close_world(&w);
}
END_TEST

static bool
enough(struct slice piece, void *arg)
{
	((struct heard *)arg)->n += piece.n;
	return false;
}

static void
child_leaves(struct world *w, struct heard *h, const void *arg)
{
	int fd = ctl_connect(w->dirfd, "logd", WAIT_MS);

	h->status = ctl_call(fd, arg, NULL, WAIT_MS, enough, h, h->text, sizeof h->text);
	close(fd);
}

/* A caller that goes in the middle: its state goes with it, the next one is served. */
START_TEST(callers_may_leave)
{
	static const char *const names[] = { "long", "again", "without", "never" };
	static const int echo = 0;
	struct world w;

	open_world(&w);
	in_child(&w, child_leaves, names[_i]);
	ck_assert_int_eq(w.heard.status, -ECANCELED);
	if (geteuid() == 0) {
		in_child(&w, child_rights, &echo);
		ck_assert_int_eq(w.heard.status, 0);
	}
	close_world(&w);
}
END_TEST

static int
raw_connect(struct world *w)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/logd", w->dir);
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) != 0)
		return -errno;
	return fd;
}

static void
put_hello(struct buf *b, uint16_t version_min)
{
	msg_hello_put(
	    b, &(struct msg_hello){
		   .service = SERVICE_CTL, .version_min = version_min, .version_max = 99 });
}

enum bad {
	NO_HELLO,
	FAR_FUTURE,
	CUT_FRAME,
	WORDS_WITHOUT_END,
	TWO_AT_ONCE,
	WRONG_TYPE,
	EMPTY,
	GARBAGE,
	BAD_COUNT
};

static void
child_bad(struct world *w, struct heard *h, const void *arg)
{
	enum bad bad = (enum bad) * (const int *)arg;
	struct buf b = { 0 };
	char in[4096];
	ssize_t n;
	int fd = raw_connect(w);

	if (bad != NO_HELLO && bad != GARBAGE && bad != EMPTY)
		put_hello(&b, bad == FAR_FUTURE ? 50 : 1);
	switch (bad) {
	case NO_HELLO:
	case FAR_FUTURE:
		msg_ctl_put(&b, &(struct msg_ctl){ .verb = SLICE_LIT("echo") });
		break;
	case CUT_FRAME:
		msg_ctl_put(&b, &(struct msg_ctl){ .verb = SLICE_LIT("echo") });
		b.n -= 3;
		break;
	case WORDS_WITHOUT_END:
		msg_ctl_put(
		    &b, &(struct msg_ctl){ .verb = SLICE_LIT("echo"), .args = SLICE_LIT("abc") });
		break;
	case TWO_AT_ONCE:
		msg_ctl_put(&b, &(struct msg_ctl){ .verb = SLICE_LIT("never") });
		msg_ctl_put(&b, &(struct msg_ctl){ .verb = SLICE_LIT("echo") });
		break;
	case WRONG_TYPE:
		msg_ctl_out_put(&b, &(struct msg_ctl_out){ .data = SLICE_LIT("x") });
		break;
	case GARBAGE:
		buf_puts(&b, "GET / HTTP/1.1\r\n\r\n");
		break;
	case EMPTY:
	case BAD_COUNT:
		break;
	}
	if (send(fd, b.p, b.n, MSG_NOSIGNAL) < 0)
		h->status = -errno;
	while ((n = recv(fd, in, sizeof in, 0)) > 0)
		h->n += (size_t)n;
	h->status = (int)n;
	buf_fini(&b);
}

/* Whoever breaks the grammar hears nothing but the end; the others are served. */
START_TEST(bad_callers_are_cut_off)
{
	static const char *const names[] = { "echo", NULL };
	struct world w;

	open_world(&w);
	in_child(&w, child_bad, &_i);
	ck_assert_int_le(w.heard.status, 0);
	ck_assert_uint_eq(w.heard.n, 0);
	in_child(&w, child_verbs, names);
	ck_assert_int_eq(w.heard.more[0], 0);
	close_world(&w);
}
END_TEST

/* Connections one by one until a call on a fresh one is not answered. */
static void
child_many(struct world *w, struct heard *h, const void *arg)
{
	const uid_t *uids = arg;
	static const uid_t back = 0;

	for (int u = 0; u < 3; u++) {
		if (uids[u] != 0 && seteuid(uids[u]) != 0)
			return;
		for (int i = 0; i < 100; i++) {
			struct heard one = { 0 };

			call(ctl_connect(w->dirfd, "logd", WAIT_MS), "echo", NULL, &one);
			if (one.status != 0)
				break;
			h->more[u]++;
		}
		if (seteuid(back) != 0)
			return;
	}
}

/* A user cannot take the calls of others, and users together not those of root. */
START_TEST(calls_are_bounded)
{
	static const uid_t uids[] = { NOBODY, OTHER, 0 };
	struct world w;

	if (geteuid() != 0)
		return;
	open_world(&w);
	in_child(&w, child_many, uids);
	ck_assert_int_eq(w.heard.more[0], 8);
	ck_assert_int_eq(w.heard.more[1], 8);
	ck_assert_int_eq(w.heard.more[2], 48);
	close_world(&w);
}
END_TEST

static void
child_nobody(struct world *w, struct heard *h, const void *arg)
{
	(void)arg;
	h->status = ctl_connect(w->dirfd, "router", WAIT_MS);
}

START_TEST(nobody_listens)
{
	struct world w;

	open_world(&w);
	in_child(&w, child_nobody, NULL);
	ck_assert_int_eq(w.heard.status, -ENOENT);
	close_world(&w);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, who_may_say_what, 0, sizeof rights / sizeof *rights);
	tcase_add_loop_test(tc, what_is_logged, 0, 3);
	tcase_add_test(tc, verb_after_verb);
	tcase_add_loop_test(tc, long_answers, 0, 3);
	tcase_add_loop_test(tc, callers_may_leave, 0, 4);
	tcase_add_loop_test(tc, bad_callers_are_cut_off, 0, BAD_COUNT);
	tcase_add_test(tc, calls_are_bounded);
	tcase_add_test(tc, nobody_listens);
}
CHECK_MAIN("ctl", cases)
