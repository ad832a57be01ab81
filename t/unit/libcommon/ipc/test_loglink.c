/* SPDX-License-Identifier: ISC */
/* What a service says reaches logd in order, whole, once; and when logd is away nobody waits. */
#include "../../check_main.h"

#include "base/log.h"
#include "ipc/loglink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
	struct loop *loop;
	int fd, far, back;
	char dir[64];
	unsigned next; /* number of the next event to be heard */
	unsigned packets, frames;
	uint64_t lost;
} w;

static void
setup(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "edge/logd.smtpd/s" };

	memset(&w, 0, sizeof w);
	w.far = -1;
	slice_copy(SLICE_LIT("/tmp/test_loglink.XXXXXX"), w.dir, sizeof w.dir);
	w.back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert(mkdtemp(w.dir) != NULL && chdir(w.dir) == 0);
	ck_assert(mkdir("edge", 0700) == 0 && mkdir("edge/logd.smtpd", 0700) == 0);
	w.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert(bind(w.fd, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(w.fd, 5) == 0);
	w.loop = loop_new();
	log_open(SERVICE_SMTPD);
	peer_self(SERVICE_SMTPD, 0, 0, 0);
	loglink_dial(w.loop, getuid());
}

static void
teardown(void)
{
	unlink("edge/logd.smtpd/s");
	rmdir("edge/logd.smtpd");
	rmdir("edge");
	ck_assert_int_eq(fchdir(w.back), 0);
	rmdir(w.dir);
	close(w.back);
	close(w.fd);
	if (w.far >= 0)
		close(w.far);
}

/* logd, held by hand, says HELLO. */
static void
link_up(void)
{
	struct buf b = { 0 };

	while ((w.far = accept4(w.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0)
		loop_turn(w.loop, true);
	msg_hello_put(
	    &b, &(struct msg_hello){ .service = SERVICE_LOGD, .version_min = 1, .version_max = 1 });
	ck_assert_int_eq(send(w.far, b.p, b.n, MSG_NOSIGNAL), (ssize_t)b.n);
	buf_fini(&b);
}

static void
say(unsigned number, size_t bytes)
{
	static char text[LOG_TEXT_MAX];

	memset(text, 'x', sizeof text);
	log_begin(LOG_NOTE);
	log_u64(LOGK_COUNT, number);
	log_str(LOGK_TEXT, slice_of(text, bytes));
	log_end();
}

static void
heard(struct slice data)
{
	struct log_record r;
	struct log_value v;

	while (data.n > 0) {
		ck_assert(log_record_next(&data, &r) && log_record_valid(&r));
		if (r.event != LOG_NOTE)
			continue; /* peer-up */
		ck_assert(log_value_next(&r.fields, &v) && v.key == LOGK_COUNT);
		ck_assert_uint_eq(v.u, w.next);
		w.next++;
	}
}

static void
hear(void)
{
	static char in[IPC_PACKET_MAX];
	struct msg_frame f;
	struct msg_events e;
	ssize_t n;

	while ((n = recv(w.far, in, sizeof in, 0)) > 0) {
		struct slice packet = slice_of(in, (size_t)n);

		w.packets++;
		while (msg_frame_next(&packet, &f)) {
			if (f.type != MSG_EVENTS)
				continue;
			ck_assert(msg_events_get(f.payload, &e));
			w.frames++;
			w.lost += e.lost;
			heard(e.data);
		}
		ck_assert_uint_eq(packet.n, 0);
	}
}

static void
turns(unsigned n)
{
	while (n-- > 0) {
		loop_turn(w.loop, false);
		if (w.far >= 0)
			hear();
	}
}

START_TEST(one_packet_a_turn)
{
	link_up();
	turns(4);
	w.packets = 0;
	for (unsigned i = 0; i < 50; i++)
		say(i, 10);
	turns(1);
	ck_assert_uint_eq(w.packets, 1);
	ck_assert_uint_eq(w.next, 50);
	turns(3);
	ck_assert_uint_eq(w.packets, 1);
}
END_TEST

/* More than a packet holds goes in several, cut between events. */
START_TEST(many_at_once)
{
	link_up();
	turns(4);
	for (unsigned i = 0; i < 300; i++)
		say(i, i % LOG_TEXT_MAX);
	for (unsigned i = 300; i < 400; i++)
		say(i, LOG_TEXT_MAX);
	turns(50);
	ck_assert_uint_eq(w.next, 400);
	ck_assert_uint_gt(w.frames, 4);
	ck_assert_uint_eq(w.lost, 0);
}
END_TEST

/* What was said before logd came waits for it; a new one gets what comes since. */
START_TEST(kept_while_away)
{
	for (unsigned i = 0; i < 10; i++)
		say(i, 10);
	loop_turn(w.loop, false);
	link_up();
	turns(4);
	ck_assert_uint_eq(w.next, 10);
	close(w.far);
	w.far = -1;
	turns(2);
	for (unsigned i = 10; i < 20; i++)
		say(i, 10);
	turns(2);
	link_up();
	turns(4);
	ck_assert_uint_eq(w.next, 20);
}
END_TEST

/* Up to a bound; beyond it they are counted, and logd is told once how many. */
START_TEST(lost_while_away)
{
	unsigned said;

	for (said = 0; said < 2000; said++)
		say(said, 1000);
	link_up();
	turns(200);
	ck_assert_uint_gt(w.lost, 0);
	ck_assert_uint_eq(w.next + w.lost, 2000);
	w.lost = 0;
	say(w.next, 10);
	turns(4);
	ck_assert_uint_eq(w.lost, 0);
}
END_TEST

/* A logd that does not read costs no more memory than the bound, and no turn waits for it. */
START_TEST(slow_logd)
{
	uint64_t lost;
	unsigned said;

	link_up();
	turns(4);
	for (said = 0; said < 6000; said++) {
		say(said, 1000);
		loop_turn(w.loop, false);
	}
	ck_assert_uint_le(log_pending(&lost).n, LOG_BUFFER_MAX);
	ck_assert_uint_gt(lost, 0);
	turns(1000);
	ck_assert_uint_eq(w.next + w.lost, said);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_packet_a_turn);
	tcase_add_test(tc, many_at_once);
	tcase_add_test(tc, kept_while_away);
	tcase_add_test(tc, lost_while_away);
	tcase_add_test(tc, slow_logd);
}
CHECK_MAIN("loglink", cases)
