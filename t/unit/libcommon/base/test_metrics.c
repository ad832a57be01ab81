/* SPDX-License-Identifier: ISC */
/* What a process counts: each row once, what changed is put once, and again for a new link. */
#include "../../check_main.h"

#include "base/metrics.h"

#include <string.h>

static struct buf out;

static void
setup(void)
{
	metrics_open();
	buf_reset(&out);
}

static unsigned
changed(unsigned number[], uint64_t value[])
{
	struct slice in;
	unsigned n = 0;

	buf_reset(&out);
	metrics_changed(&out);
	in = slice_buf(&out);
	while (metrics_next(&in, &number[n], &value[n]))
		n++;
	ck_assert_uint_eq(in.n, 0);
	return n;
}

START_TEST(what_changed_is_put_once)
{
	unsigned number[METRIC_END];
	uint64_t value[METRIC_END];

	ck_assert_uint_eq(changed(number, value), 0);
	metric_add(METRIC_SMTPD_REFUSED, 2);
	metric_add(METRIC_SMTPD_REFUSED, 3);
	metric_set(METRIC_SMTPD_SESSIONS, 7);
	ck_assert_uint_eq(changed(number, value), 2);
	ck_assert_uint_eq(number[0], METRIC_SMTPD_SESSIONS);
	ck_assert_uint_eq(value[0], 7);
	ck_assert_uint_eq(number[1], METRIC_SMTPD_REFUSED);
	ck_assert_uint_eq(value[1], 5);
	ck_assert_uint_eq(changed(number, value), 0);
	metric_set(METRIC_SMTPD_SESSIONS, 0);
	ck_assert_uint_eq(changed(number, value), 1); /* back to zero is a change too */
	ck_assert_uint_eq(value[0], 0);
	metrics_forget();
	ck_assert_uint_eq(changed(number, value), 1);
	ck_assert_uint_eq(number[0], METRIC_SMTPD_REFUSED);
	metrics_open();
	ck_assert_uint_eq(changed(number, value), 0);
	ck_assert_uint_eq(metric_value(METRIC_SMTPD_REFUSED), 0);
}
END_TEST

static void
look(void *arg)
{
	metric_set(METRIC_QMGR_JOBS, *(uint64_t *)arg);
}

START_TEST(hook_runs_before)
{
	unsigned number[METRIC_END];
	uint64_t value[METRIC_END], jobs = 4;

	metrics_refresh(look, &jobs);
	ck_assert_uint_eq(changed(number, value), 1);
	ck_assert_uint_eq(value[0], 4);
	ck_assert_uint_eq(changed(number, value), 0);
	jobs = 5;
	ck_assert_uint_eq(changed(number, value), 1);
}
END_TEST

START_TEST(no_rows)
{
	struct slice in = SLICE_LIT("123456789");
	unsigned number;
	uint64_t value;

	ck_assert(!metrics_next(&in, &number, &value));
	ck_assert_uint_eq(in.n, 9);
	ck_assert_ptr_null(metric_row(0));
	ck_assert_ptr_null(metric_row(METRIC_END));
	ck_assert_ptr_null(metric_row(65535));
}
END_TEST

/* Names as Prometheus wants them, and as their type says; rows of one name beside each other, since
 * its help stands once. */
START_TEST(table_is_right)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
	const struct metric_row *before = NULL;

	for (unsigned i = 0; i < METRIC_END; i++) {
		const struct metric_row *row = metric_row(i);
		size_t n;

		if (row == NULL)
			continue;
		n = strlen(row->name);
		ck_assert_uint_eq(strspn(row->name, ok), n);
		ck_assert_msg((n > 6 && strcmp(row->name + n - 6, "_total") == 0) ==
				  (row->type == METRIC_COUNTER),
		    "%s", row->name);
		for (unsigned j = 0; j < i; j++)
			if (metric_row(j) != NULL && strcmp(metric_row(j)->name, row->name) == 0)
				ck_assert_msg(before != NULL &&
						  strcmp(before->name, row->name) == 0 &&
						  strcmp(metric_row(j)->labels, row->labels) != 0 &&
						  metric_row(j)->type == row->type,
				    "%s", row->name);
		ck_assert_msg(row->help[0] != '\0' ||
				  (before != NULL && strcmp(before->name, row->name) == 0),
		    "%s says nothing", row->name);
		before = row;
	}
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, what_changed_is_put_once);
	tcase_add_test(tc, hook_runs_before);
	tcase_add_test(tc, no_rows);
	tcase_add_test(tc, table_is_right);
}
CHECK_MAIN("metrics", cases)
