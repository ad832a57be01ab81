/* SPDX-License-Identifier: ISC */
/* A parent with true forked workers, and a service beside it that they are linked to. */
#include "../../check_main.h"

#include "base/clock.h"
#include "base/log.h"
#include "ipc/brood.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKERS = 2,
	WAIT_MS = 30000,
	TOKEN_UP = 1,
	TOKEN_DOWN,
	TOKEN_CONFIG,
	TOKEN_ASK,
	STUBBORN = 9
};

/* Where the world of a test is. */
static struct {
	char dir[64];
	int back;
	struct loop *loop;
	struct brood *brood;
	struct timer *limit;
	bool late, done, stubborn;
	unsigned ups, gones, links, downs, configs, answers, births;
	uint64_t instance[WORKERS + 1], gone_instance;
	char last[256]; /* answer */
	int keep[2];
	pid_t router;
} w;

/* --- a worker --- */

static struct {
	struct loop *loop;
	int pair_fd;
	unsigned number, fds, pending;
	uint8_t class;
	bool stubborn;
} me;

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static bool
router_in(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	(void)p;
	(void)row;
	(void)in;
	return false;
}

static void
router_up(struct peer *p)
{
	(void)p;
	nest_answer(TOKEN_UP, SLICE_LIT("up"));
}

static void
router_down(struct peer *p)
{
	(void)p;
	nest_answer(TOKEN_DOWN, SLICE_LIT("down"));
}

static const struct peer_ops router_ops = { .in = router_in, .up = router_up, .down = router_down };

static void
on_config(uint32_t generation, int fd, void *arg)
{
	char text[64] = "";
	struct buf b = { 0 };

	(void)arg;
	if (pread(fd, text, sizeof text - 1, 0) < 0)
		_exit(9);
	close(fd);
	buf_printf(&b, "%u %s", generation, text);
	nest_answer(TOKEN_CONFIG, slice_buf(&b));
	buf_fini(&b);
}

static void
on_finish(uint32_t grace_ms, void *arg)
{
	(void)arg;
	if (grace_ms == 0 || !me.stubborn)
		_exit(0);
}

static void
on_ask(const struct msg_ask *m, void *arg)
{
	struct buf b = { 0 };

	(void)arg;
	if (slice_is(m->verb, "misspeak"))
		(void)!send(me.pair_fd, "nonsense", 8, MSG_NOSIGNAL);
	else if (slice_is(m->verb, "overstep")) {
		msg_finish_put(&b, &(struct msg_finish){ .grace_ms = 1 }); /* a parent's word */
		(void)!send(me.pair_fd, b.p, b.n, MSG_NOSIGNAL);
	} else {
		buf_printf(&b, "%u %u %u %u %.*s", me.number, me.class, me.fds, me.pending,
		    SLICE_ARG(m->args));
		nest_answer(m->token, slice_buf(&b));
	}
	buf_fini(&b);
}

static const struct nest_ops nest_ops = { .config = on_config, .finish = on_finish, .ask = on_ask };

static void
worker(unsigned number, uint8_t class, int pair_fd, void *arg)
{
	uint64_t lost;
	struct peer *router;

	if (arg != NULL)
		_exit(3); /* the short-lived */
	me.fds = open_fds();
	log_open(SERVICE_SMTPD);
	me.pending = (unsigned)log_pending(&lost).n;
	me.number = number;
	me.class = class;
	me.pair_fd = pair_fd;
	me.stubborn = class == STUBBORN;
	me.loop = loop_new();
	peer_self(SERVICE_SMTPD, 1, (uint16_t)number, class);
	router = peer_supplied(me.loop, SERVICE_ROUTER, getuid(), &router_ops, NULL);
	nest_open(me.loop, pair_fd, &nest_ops, NULL);
	nest_link(router);
	loop_run(me.loop);
	_exit(0);
}

/* --- the service --- */

static const struct peer_ops asked_ops = { .in = router_in };

static int
edge_socket(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	slice_copy(slice_z(path), sun.sun_path, sizeof sun.sun_path);
	unlink(path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(listen(fd, 10), 0);
	return fd;
}

static void
start_router(void)
{
	int fd = edge_socket("edge/router.smtpd/s");

	w.router = fork();
	if (w.router == 0) {
		struct loop *l = loop_new();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGCHLD, SIG_DFL);
		log_open(SERVICE_ROUTER);
		peer_self(SERVICE_ROUTER, 0, 0, 0);
		peer_listen(l, fd, SERVICE_SMTPD, getuid(), &asked_ops, NULL);
		loop_run(l);
		_exit(0);
	}
	close(fd);
}

/* --- the parent --- */

static void
up(unsigned number, uint64_t instance, void *arg)
{
	(void)arg;
	ck_assert(number >= 1 && number <= WORKERS);
	ck_assert_uint_ne(instance, w.instance[number]);
	w.instance[number] = instance;
	w.ups++;
}

static void
gone(unsigned number, uint64_t instance, void *arg)
{
	(void)arg;
	ck_assert_uint_eq(instance, w.instance[number]);
	w.gone_instance = instance;
	w.gones++;
}

static void
answer(unsigned number, const struct msg_answer *m, void *arg)
{
	(void)number;
	(void)arg;
	slice_copy(m->data, w.last, sizeof w.last);
	switch (m->token) {
	case TOKEN_UP:
		w.links++;
		break;
	case TOKEN_DOWN:
		w.downs++;
		break;
	case TOKEN_CONFIG:
		w.configs++;
		break;
	case TOKEN_ASK:
		w.answers++;
		break;
	}
}

static const struct brood_ops ops = { .worker = worker, .up = up, .gone = gone, .answer = answer };

static uid_t
uid_of(enum service s, void *arg)
{
	(void)s;
	(void)arg;
	return getuid();
}

static void
too_late(void *arg)
{
	(void)arg;
	w.late = true;
}

static void
setup(void)
{
	memset(&w, 0, sizeof w);
	slice_copy(SLICE_LIT("/tmp/test_brood.XXXXXX"), w.dir, sizeof w.dir);
	ck_assert_ptr_nonnull(mkdtemp(w.dir));
	w.back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(chdir(w.dir), 0);
	ck_assert(mkdir("edge", 0700) == 0 && mkdir("edge/router.smtpd", 0700) == 0);
	log_open(SERVICE_SMTPD);
	peer_self(SERVICE_SMTPD, 0, 0, 0);
	w.loop = loop_new();
	w.limit = timer_new(w.loop, too_late, NULL);
	timer_set(w.limit, WAIT_MS);
	ck_assert_int_eq(pipe2(w.keep, O_CLOEXEC), 0);
}

static void
finished(void *arg)
{
	(void)arg;
	w.done = true;
}

#define UNTIL(what)                                         \
	do {                                                \
		while (!(what) && !w.late)                  \
			loop_turn(w.loop, true);            \
		ck_assert_msg(!w.late, "never: %s", #what); \
	} while (0)

static void
teardown(void)
{
	if (w.brood != NULL && !w.done) {
		brood_finish(w.brood, 100, finished, NULL);
		UNTIL(w.done);
	}
	loop_free(w.loop);
	if (w.router > 0)
		kill(w.router, SIGKILL);
	unlink("edge/router.smtpd/s");
	rmdir("edge/router.smtpd");
	rmdir("edge");
	ck_assert_int_eq(fchdir(w.back), 0);
	close(w.back);
	rmdir(w.dir);
	close(w.keep[0]);
	close(w.keep[1]);
}

static void
start_workers(void *arg)
{
	w.brood = brood_new(w.loop, &ops, uid_of, arg);
	brood_keep(w.brood, &w.keep[1], 1);
	for (unsigned i = 1; i <= WORKERS; i++)
		brood_add(w.brood, i, w.stubborn ? STUBBORN : (uint8_t)(i + 1));
}

static pid_t
pid_of(unsigned i)
{
	pid_t pids[WORKERS];

	ck_assert_uint_eq(brood_pids(w.brood, pids, WORKERS), WORKERS);
	return pids[i];
}

static bool
logged(const char *what)
{
	uint64_t lost;
	struct slice in = log_pending(&lost);
	struct log_record r;
	struct buf text = { 0 };
	bool found;

	while (log_record_next(&in, &r)) {
		log_format_text(&text, &r);
		buf_putc(&text, '\n');
	}
	buf_putc(&text, '\0');
	found = strstr(text.p, what) != NULL;
	buf_fini(&text);
	return found;
}

/* Only what was named stays open in a worker, and it begins with no events of its parent's. */
START_TEST(workers_know_who_they_are)
{
	char want[64];

	log_note("said by the parent, not yet sent");
	start_workers(NULL);
	UNTIL(w.ups == WORKERS);
	for (unsigned i = 1; i <= WORKERS; i++) {
		ck_assert_uint_eq(brood_ask(w.brood, &(struct msg_ask){ .token = TOKEN_ASK,
							 .verb = SLICE_LIT("state"),
							 .args = SLICE_LIT("x") }),
		    WORKERS);
		UNTIL(w.answers == i * WORKERS);
	}
	/* 0, 1, 2, the pair, one that is kept. */
	snprintf(want, sizeof want, "%c %c 5 0 x", w.last[0], w.last[0] + 1);
	ck_assert_str_eq(w.last, want);
}
END_TEST

START_TEST(a_killed_worker_comes_again)
{
	uint64_t old;
	pid_t pid;

	start_workers(NULL);
	start_router();
	UNTIL(w.ups == WORKERS && w.links == WORKERS);
	pid = pid_of(0);
	old = w.instance[1];
	kill(pid, SIGKILL);
	UNTIL(w.gones == 1);
	ck_assert_uint_eq(w.gone_instance, old);
	/* Up again with its link, the other untouched. */
	UNTIL(w.ups == WORKERS + 1 && w.links == WORKERS + 1);
	ck_assert_int_ne(pid_of(0), pid);
	ck_assert_uint_eq(w.gones, 1);
	ck_assert_uint_eq(w.downs, 0);
	ck_assert(logged("worker-lost worker=1 reason=\"KILL\" code=0"));
}
END_TEST

/* Links are made again, for as long as it takes; the worker lives on. */
START_TEST(links_are_supplied_again)
{
	start_workers(NULL);
	UNTIL(w.ups == WORKERS);
	ck_assert_uint_eq(w.links, 0); /* nobody listens yet */
	start_router();
	UNTIL(w.links == WORKERS);
	for (unsigned round = 1; round <= 3; round++) {
		kill(w.router, SIGKILL);
		UNTIL(w.downs == round * WORKERS);
		start_router();
		UNTIL(w.links == (round + 1) * WORKERS);
	}
	ck_assert_uint_eq(w.gones, 0);
}
END_TEST

/* A worker that breaks the grammar of its pair is killed, and comes again. */
START_TEST(bad_workers_are_replaced)
{
	static const char *const verbs[] = { "misspeak", "overstep" };

	start_workers(NULL);
	UNTIL(w.ups == WORKERS);
	brood_ask(w.brood, &(struct msg_ask){ .verb = slice_z(verbs[_i]) });
	UNTIL(w.gones == WORKERS && w.ups == 2 * WORKERS);
	ck_assert(logged("peer-bad peer=\"smtpd\""));
}
END_TEST

static int
text_file(const char *text)
{
	int fd = open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

/* The newest configuration goes to all, also to those that are born later. */
START_TEST(configurations)
{
	int one, two;

	start_workers(NULL);
	UNTIL(w.ups == WORKERS);
	one = text_file("first");
	two = text_file("second");
	brood_config(w.brood, 7, one);
	UNTIL(w.configs == WORKERS);
	ck_assert_str_eq(w.last, "7 first");
	brood_config(w.brood, 8, two);
	close(one);
	close(two);
	UNTIL(w.configs == 2 * WORKERS);
	ck_assert_str_eq(w.last, "8 second");
	kill(pid_of(1), SIGKILL);
	UNTIL(w.configs == 2 * WORKERS + 1);
	ck_assert_str_eq(w.last, "8 second");
}
END_TEST

START_TEST(finish)
{
	pid_t pids[WORKERS];

	start_workers(NULL);
	UNTIL(w.ups == WORKERS);
	brood_finish(w.brood, 20000, finished, NULL);
	UNTIL(w.done);
	ck_assert_uint_eq(brood_pids(w.brood, pids, WORKERS), 0);
	ck_assert(!logged("worker-lost"));
}
END_TEST

/* Told before they are up, too; and who stays is killed after its grace. */
START_TEST(finish_those_who_stay)
{
	w.stubborn = true;
	start_workers(NULL);
	if (_i == 0)
		UNTIL(w.ups == WORKERS);
	brood_finish(w.brood, 1, finished, NULL);
	UNTIL(w.done);
}
END_TEST

static unsigned
deaths(void)
{
	struct slice in;
	struct log_record r;
	uint64_t lost;
	unsigned n = 0;

	in = log_pending(&lost);
	while (log_record_next(&in, &r))
		n += r.event == LOG_WORKER_LOST;
	return n;
}

/* Workers that die at once are born again, but not in a rush: before its third death one has
 * paused. */
START_TEST(births_slow_down)
{
	uint64_t began = clock_mono_ms();

	start_workers(&w);
	UNTIL(deaths() > 2 * WORKERS);
	ck_assert_uint_ge(clock_mono_ms() - began, 150);
}
END_TEST

/* Without a parent a worker ends: its end of the pipe closes with it. */
START_TEST(orphans_end)
{
	char c;
	pid_t parent = fork();

	if (parent == 0) {
		signal(SIGCHLD, SIG_DFL);
		close(w.keep[0]);
		start_workers(NULL);
		UNTIL(w.ups == WORKERS);
		(void)!write(w.keep[1], "u", 1);
		while (true)
			loop_turn(w.loop, true);
	}
	close(w.keep[1]);
	ck_assert_int_eq(read(w.keep[0], &c, 1), 1);
	kill(parent, SIGKILL);
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
	ck_assert_int_eq(read(w.keep[0], &c, 1), 0); /* waits for the last worker's end */
	w.keep[1] = dup(w.keep[0]);
}
END_TEST

START_TEST(edges_are_of_one_user)
{
	int fd;

	ck_assert_int_eq(peer_connect_edge(SERVICE_ROUTER, getuid()), -ENOENT);
	start_router();
	fd = peer_connect_edge(SERVICE_ROUTER, getuid());
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(peer_connect_edge(SERVICE_ROUTER, getuid() + 1), -EPERM);
	kill(w.router, SIGKILL);
	waitpid(w.router, NULL, 0);
	ck_assert_int_eq(peer_connect_edge(SERVICE_ROUTER, getuid()), -ECONNREFUSED);
	w.router = 0;
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, workers_know_who_they_are);
	tcase_add_test(tc, a_killed_worker_comes_again);
	tcase_add_test(tc, links_are_supplied_again);
	tcase_add_loop_test(tc, bad_workers_are_replaced, 0, 2);
	tcase_add_test(tc, configurations);
	tcase_add_test(tc, finish);
	tcase_add_loop_test(tc, finish_those_who_stay, 0, 2);
	tcase_add_test(tc, births_slow_down);
	tcase_add_test(tc, orphans_end);
	tcase_add_test(tc, edges_are_of_one_user);
}
CHECK_MAIN("brood", cases)
