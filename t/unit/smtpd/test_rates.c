/* SPDX-License-Identifier: ISC */
#include "../check_main.h"

#include "base/buf.h"
#include "conf/conf.h"
#include "smtpd/limits.h"
#include "smtpd/rates.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void
config(struct rates *r, const char *text)
{
	struct buf err = { 0 };
	struct conf *c;

	if (conf_parse(slice_z(text), "test", &c, &err) != 0)
		ck_abort_msg("%.*s", SLICE_ARG(slice_buf(&err)));
	rates_config(r, c);
	conf_unref(c);
}

START_TEST(each_client_has_its_own_of_each_kind)
{
	struct rates *r = rates_new();

	config(r, "client_connection_rate = \"60/1m burst 2\"\nclient_message_rate = 3/1m\n");
	for (unsigned client = 1; client <= 3; client++) {
		ck_assert(rates_take(r, RATE_CONNECTION, client, 1000));
		ck_assert(rates_take(r, RATE_CONNECTION, client, 1000));
		ck_assert(!rates_take(r, RATE_CONNECTION, client, 1000));
		ck_assert(!rates_take(r, RATE_CONNECTION, client, 1999));
		ck_assert(rates_take(r, RATE_CONNECTION, client, 2000));
		/* Not said: all of a minute's at once. */
		for (int i = 0; i < 3; i++)
			ck_assert(rates_take(r, RATE_MESSAGE, client, 1000));
		ck_assert(!rates_take(r, RATE_MESSAGE, client, 1000));
		ck_assert(rates_take(r, RATE_MESSAGE, client, 21000));
		for (int i = 0; i < 1000; i++)
			ck_assert(rates_take(r, RATE_RECIPIENT, client, 1000));
	}
	rates_free(r);
}
END_TEST

/* All begin with each client at once, so that they race for its place as well: then each may have one
 * event of it that is not counted. */
START_TEST(workers_share_them)
{
	enum { WORKERS = 4, CLIENTS = 1000, EACH = 100 };
	struct rates *r = rates_new();
	_Atomic unsigned *passed = mmap(NULL, (CLIENTS + 1) * sizeof *passed,
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic unsigned *arrived = &passed[CLIENTS];
	int status;

	ck_assert_ptr_ne(passed, MAP_FAILED);
	config(r, "client_message_rate = 100/1d\n");
	for (int i = 0; i < WORKERS; i++)
		if (fork() == 0) {
			for (unsigned n = 0; n < CLIENTS; n++) {
				atomic_fetch_add(arrived, 1);
				while (atomic_load(arrived) < (n + 1) * WORKERS)
					sched_yield();
				for (int k = 0; k < EACH; k++)
					if (rates_take(r, RATE_MESSAGE, limits_uid(n), 5000))
						atomic_fetch_add(&passed[n], 1);
			}
			_exit(0);
		}
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	for (unsigned n = 0; n < CLIENTS; n++) {
		ck_assert_uint_ge(passed[n], EACH);
		ck_assert_uint_lt(passed[n], EACH + WORKERS);
		ck_assert(!rates_take(r, RATE_MESSAGE, limits_uid(n), 6000));
	}
	munmap(passed, (CLIENTS + 1) * sizeof *passed);
	rates_free(r);
}
END_TEST

START_TEST(a_reload_forgets_only_rates_that_change)
{
	struct rates *r = rates_new();

	config(r, "client_message_rate = 2/1h\nclient_recipient_rate = 2/1h\n");
	for (int i = 0; i < 2; i++) {
		ck_assert(rates_take(r, RATE_MESSAGE, 5, 1000));
		ck_assert(rates_take(r, RATE_RECIPIENT, 5, 1000));
	}
	config(r, "client_message_rate = 2/1h\nclient_recipient_rate = 3/1h\n");
	ck_assert(!rates_take(r, RATE_MESSAGE, 5, 1000));
	for (int i = 0; i < 3; i++)
		ck_assert(rates_take(r, RATE_RECIPIENT, 5, 1000));
	ck_assert(!rates_take(r, RATE_RECIPIENT, 5, 1000));
	config(r, "");
	ck_assert(rates_take(r, RATE_MESSAGE, 5, 1000));
	rates_free(r);
}
END_TEST

/* More clients than there are places: all are served, and one that goes on is limited all the same. */
START_TEST(the_table_is_bounded)
{
	struct rates *r = rates_new();
	unsigned passed = 0;

	config(r, "client_message_rate = \"10/1h burst 4\"\n");
	for (unsigned n = 0; n < 4; n++)
		ck_assert(rates_take(r, RATE_MESSAGE, limits_uid(1), 1000));
	for (unsigned i = 0; i < 2 * RATES_PLACES; i++) {
		ck_assert(rates_take(r, RATE_MESSAGE, limits_uid(1000 + i), 2000));
		/* It was full: whoever comes once is at rest before. */
		if (i % 4096 == 0)
			passed += rates_take(r, RATE_MESSAGE, limits_uid(1), 2000);
	}
	ck_assert_uint_eq(passed, 0);
	rates_free(r);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, each_client_has_its_own_of_each_kind);
	tcase_add_test(tc, workers_share_them);
	tcase_add_test(tc, a_reload_forgets_only_rates_that_change);
	tcase_add_test(tc, the_table_is_bounded);
}
CHECK_MAIN("rates", cases)
