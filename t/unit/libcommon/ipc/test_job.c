/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "ipc/job.h"

#include <errno.h>
#include <stdlib.h>

static const struct job_host hosts[] = {
	{ .name = SLICE_LIT("mx1.example.org"),
	    .port = 25,
	    .ip = { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
	{ .name = SLICE_LIT(""), .port = 65535, .ip = { 0x20, 1, [15] = 7 } },
};

static const struct job_address addresses[] = {
	{ 3, 4, SLICE_LIT("b@example.org"), SLICE_LIT("a@example.org"),
	    SLICE_LIT("rfc822;a@example.org") },
	{ 70000, 0, SLICE_LIT("c@example.org"), SLICE_NONE, SLICE_NONE },
};

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && memcmp(a.n > 0 ? a.p : "", b.n > 0 ? b.p : "", a.n) == 0;
}

START_TEST(hosts_come_back)
{
	struct buf b = { 0 };
	struct job_host h;

	for (size_t i = 0; i < 2; i++)
		job_host_put(&b, &hosts[i]);
	struct slice rest = { b.p, b.n };
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(job_host_next(&rest, &h), 1);
		ck_assert(same(h.name, hosts[i].name));
		ck_assert_uint_eq(h.port, hosts[i].port);
		ck_assert_mem_eq(h.ip, hosts[i].ip, sizeof h.ip);
	}
	ck_assert_int_eq(job_host_next(&rest, &h), 0);
	buf_fini(&b);
}
END_TEST

START_TEST(failed_hosts_come_back)
{
	const struct job_failed put = {
		.port = 25, .ip = { [15] = 1 }, .text = SLICE_LIT("Connection refused")
	};
	struct job_failed got, longest = put;
	char text[JOB_FAILED_TEXT_MAX + 1];
	struct buf b = { 0 };

	memset(text, 'x', sizeof text);
	longest.text = slice_of(text, sizeof text);
	job_failed_put(&b, &put);
	job_failed_put(&b, &longest);
	struct slice rest = slice_buf(&b);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(job_failed_next(&rest, &got), 1);
		ck_assert_uint_eq(got.port, 25);
		ck_assert_mem_eq(got.ip, put.ip, sizeof got.ip);
		ck_assert(same(got.text, i == 0 ? put.text : slice_of(text, JOB_FAILED_TEXT_MAX)));
	}
	ck_assert_int_eq(job_failed_next(&rest, &got), 0);
	buf_fini(&b);
}
END_TEST

START_TEST(addresses_come_back)
{
	struct buf b = { 0 };
	struct job_address a;

	for (size_t i = 0; i < 2; i++)
		job_address_put(&b, &addresses[i]);
	struct slice rest = { b.p, b.n };
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(job_address_next(&rest, &a), 1);
		ck_assert_uint_eq(a.rcpt, addresses[i].rcpt);
		ck_assert_uint_eq(a.notify, addresses[i].notify);
		ck_assert(same(a.address, addresses[i].address));
		ck_assert(same(a.original, addresses[i].original));
		ck_assert(same(a.orcpt, addresses[i].orcpt));
	}
	ck_assert_int_eq(job_address_next(&rest, &a), 0);
	buf_fini(&b);
}
END_TEST

/* Each cut of one row is refused, and none is read beyond its end (the copy is exactly as long). */
START_TEST(cut_rows_are_refused)
{
	struct buf b[3] = { 0 };

	job_host_put(&b[0], &hosts[0]);
	job_address_put(&b[1], &addresses[0]);
	job_failed_put(&b[2], &(struct job_failed){ .text = SLICE_LIT("why") });
	for (int what = 0; what < 3; what++)
		for (size_t n = 1; n < b[what].n; n++) {
			char *copy = malloc(n);
			struct slice rest = { memcpy(copy, b[what].p, n), n };
			struct job_host h;
			struct job_address a;
			struct job_failed f;

			ck_assert_int_eq(what == 0   ? job_host_next(&rest, &h)
					 : what == 1 ? job_address_next(&rest, &a)
						     : job_failed_next(&rest, &f),
			    -EBADMSG);
			free(copy);
		}
	for (int what = 0; what < 3; what++)
		buf_fini(&b[what]);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, hosts_come_back);
	tcase_add_test(tc, failed_hosts_come_back);
	tcase_add_test(tc, addresses_come_back);
	tcase_add_test(tc, cut_rows_are_refused);
}
CHECK_MAIN("job", cases)
