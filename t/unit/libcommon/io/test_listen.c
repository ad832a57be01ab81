/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/clock.h"
#include "io/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 5 };

struct world {
	struct loop *loop;
	struct listener *ln;
	struct addr at;
	int fd, clients[CLIENTS];
	unsigned taken;
	struct addr last;
	bool pause_after_one;
};

static struct addr
bound(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof ss;
	struct addr a;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	ck_assert(addr_of(&ss, &a));
	return a;
}

static int
client(const struct addr *to)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_sockaddr(to, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&ss, n), 0);
	return fd;
}

static void
on_client(int fd, const struct addr *peer, void *arg)
{
	struct world *w = arg;

	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	w->taken++;
	w->last = *peer;
	close(fd);
	if (w->pause_after_one)
		listen_pause(w->ln, true);
}

static void
open_world(struct world *w, const char *host)
{
	*w = (struct world){ .loop = loop_new() };
	ck_assert(addr_host_parse(slice_z(host), w->at.host));
	w->fd = listen_tcp(&w->at, 10);
	ck_assert_int_ge(w->fd, 0);
	w->at = bound(w->fd);
	w->ln = listen_new(w->loop, w->fd, on_client, w);
}

static void
close_world(struct world *w)
{
	listen_free(w->ln);
	listen_free(NULL);
	loop_free(w->loop);
	close(w->fd);
}

START_TEST(clients_are_taken)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };
	struct world w;
	struct addr own;

	open_world(&w, hosts[_i]);
	for (int i = 0; i < CLIENTS; i++)
		w.clients[i] = client(&w.at);
	loop_turn(w.loop, true);
	ck_assert_uint_eq(w.taken, CLIENTS);
	own = bound(w.clients[CLIENTS - 1]);
	ck_assert(memcmp(own.host, w.last.host, 16) == 0 && own.port == w.last.port);
	for (int i = 0; i < CLIENTS; i++)
		close(w.clients[i]);
	close_world(&w);
}
END_TEST

START_TEST(paused)
{
	struct world w;

	open_world(&w, "127.0.0.1");
	w.pause_after_one = true;
	for (int i = 0; i < CLIENTS; i++)
		w.clients[i] = client(&w.at);
	for (int i = 0; i < CLIENTS; i++)
		loop_turn(w.loop, false);
	ck_assert_uint_eq(w.taken, 1);
	listen_pause(w.ln, false);
	loop_turn(w.loop, false);
	ck_assert_uint_eq(w.taken, 2);
	w.pause_after_one = false;
	listen_pause(w.ln, false);
	loop_turn(w.loop, false);
	ck_assert_uint_eq(w.taken, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(w.clients[i]);
	close_world(&w);
}
END_TEST

/* Under valgrind(1) descriptors beyond the limit are accepted and closed, which a kernel does not
 * do. */
static bool
valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "valgrind") != NULL;
}

/* Without a descriptor it rests, does not spin, is not lost, and goes on when there are some again.
 */
START_TEST(no_descriptor_left)
{
	struct world w;
	struct rlimit r, none;
	uint64_t began;
	unsigned turns = 0;
	int c, spare;

	if (valgrind())
		return;
	open_world(&w, "127.0.0.1");
	c = client(&w.at);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
	spare = dup(c);
	close(spare);
	none = r;
	none.rlim_cur = (rlim_t)spare;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_lt(dup(c), 0);
	began = clock_mono_ms();
	loop_turn(w.loop, true); /* meets EMFILE */
	ck_assert_uint_eq(w.taken, 0);
	loop_turn(w.loop, false);
	loop_turn(w.loop, true); /* the end of the rest */
	ck_assert_uint_ge(clock_mono_ms() - began, 90);
	loop_turn(w.loop, true); /* meets it again */
	ck_assert_uint_eq(w.taken, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
	while (w.taken == 0 && turns++ < 10)
		loop_turn(w.loop, true);
	ck_assert_uint_eq(w.taken, 1);
	ck_assert_uint_le(turns, 3);
	close(c);
	close_world(&w);
}
END_TEST

static void
stop(void *arg)
{
	loop_stop(((struct world *)arg)->loop);
}

/* A rest does not outlive a pause. */
START_TEST(paused_while_it_rests)
{
	struct world w;
	struct rlimit r, none;
	struct timer *later;
	int c, spare;

	if (valgrind())
		return;
	open_world(&w, "127.0.0.1");
	later = timer_new(w.loop, stop, &w);
	c = client(&w.at);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
	spare = dup(c);
	close(spare);
	none = r;
	none.rlim_cur = (rlim_t)spare;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	loop_turn(w.loop, true);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
	listen_pause(w.ln, true);
	timer_set(later, 150);
	loop_run(w.loop);
	ck_assert_uint_eq(w.taken, 0);
	listen_pause(w.ln, false);
	loop_turn(w.loop, false);
	ck_assert_uint_eq(w.taken, 1);
	timer_free(later);
	close(c);
	close_world(&w);
}
END_TEST

START_TEST(bound_sockets)
{
	struct addr v4 = { 0 }, v6 = { 0 }, foreign = { .port = 2525 };
	int a, b, c;

	ck_assert(addr_host_parse(SLICE_LIT("0.0.0.0"), v4.host));
	ck_assert(addr_host_parse(SLICE_LIT("192.0.2.1"), foreign.host));
	a = listen_tcp(&v4, 10);
	ck_assert_int_ge(a, 0);
	v4 = bound(a);
	/* A second instance at the same port, and IPv6 apart from IPv4. */
	b = listen_tcp(&v4, 10);
	ck_assert_int_ge(b, 0);
	v6.port = v4.port;
	c = listen_tcp(&v6, 10);
	ck_assert_int_ge(c, 0);
	ck_assert(fcntl(a, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_eq(listen_tcp(&foreign, 10), -EADDRNOTAVAIL);
	close(a);
	close(b);
	close(c);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, clients_are_taken, 0, 2);
	tcase_add_test(tc, paused);
	tcase_add_test(tc, no_descriptor_left);
	tcase_add_test(tc, paused_while_it_rests);
	tcase_add_test(tc, bound_sockets);
}
CHECK_MAIN("listen", cases)
