/* SPDX-License-Identifier: ISC */
/* Counts of many processes become one page. */
#include "../check_main.h"

#include "logd/metrics.h"

#include <stdio.h>
#include <string.h>

static struct metrics *all;
static struct buf page, rows;

static void
setup(void)
{
	all = metrics_new();
}

static void
teardown(void)
{
	metrics_free(all);
	buf_fini(&page);
	buf_fini(&rows);
}

static void
row(unsigned number, uint64_t value)
{
	uint16_t n = (uint16_t)number;

	buf_put(&rows, &n, 2);
	buf_put(&rows, &value, 8);
}

static void
take(enum service s, uint64_t instance)
{
	ck_assert(metrics_take(all, s, instance, slice_buf(&rows)));
	buf_reset(&rows);
}

/* The page has this line. */
static void
ck_line(const char *name, uint64_t value)
{
	char line[256];

	buf_reset(&page);
	buf_putc(&page, '\n');
	metrics_put(all, &page);
	buf_putc(&page, '\0');
	snprintf(line, sizeof line, "\nangarium_%s %llu\n", name, (unsigned long long)value);
	ck_assert_msg(strstr(page.p, line) != NULL, "no line %s in\n%s", line, page.p);
}

START_TEST(processes_add_up)
{
	for (uint64_t i = 1; i <= 3; i++) {
		metrics_up(all, SERVICE_SMTPD, i);
		row(METRIC_SMTPD_SESSIONS, i);
		row(METRIC_SMTPD_SESSIONS_TOTAL, 10 * i);
		take(SERVICE_SMTPD, i);
	}
	ck_line("smtpd_sessions", 6);
	ck_line("smtpd_sessions_total", 60);
	ck_line("processes{service=\"smtpd\"}", 3);
	ck_line("processes{service=\"qmgr\"}", 0);
	metrics_down(all, SERVICE_SMTPD, 2);
	ck_line("smtpd_sessions", 4);
	ck_line("smtpd_sessions_total", 60);
	ck_line("processes{service=\"smtpd\"}", 2);
	/* Its link comes again: it tells what is not zero, and its gauge is zero by now. */
	metrics_up(all, SERVICE_SMTPD, 2);
	row(METRIC_SMTPD_SESSIONS_TOTAL, 25);
	take(SERVICE_SMTPD, 2);
	ck_line("smtpd_sessions", 4);
	ck_line("smtpd_sessions_total", 65);
}
END_TEST

/* Others' rows, rows of no number, half a row. */
START_TEST(strange_rows)
{
	metrics_up(all, SERVICE_SMTPD, 1);
	row(METRIC_QMGR_MESSAGES, 7);
	row(METRIC_END, 7);
	row(0, 7);
	row(UINT16_MAX, 7);
	row(METRIC_SMTPD_SESSIONS, 1);
	take(SERVICE_SMTPD, 1);
	ck_line("queue_messages", 0);
	ck_line("smtpd_sessions", 1);
	ck_assert(!metrics_take(all, SERVICE_SMTPD, 1, SLICE_LIT("123456789")));
	/* Of one that never came up. */
	row(METRIC_SMTPD_SESSIONS, 9);
	take(SERVICE_SMTPD, 2);
	ck_line("smtpd_sessions", 1);
}
END_TEST

/* Workers come and go for years: what they counted stays, the memory does not grow. */
START_TEST(many_processes)
{
	enum { N = 5000 };

	for (uint64_t i = 1; i <= N; i++) {
		metrics_up(all, SERVICE_DELIVER, i);
		row(METRIC_DELIVER_JOBS, 2);
		row(METRIC_DELIVER_RUNNING, 1);
		take(SERVICE_DELIVER, i);
		metrics_down(all, SERVICE_DELIVER, i);
	}
	ck_line("deliver_jobs_total", 2 * N);
	ck_line("deliver_jobs", 0);
	/* All that can be shown are up: one more is not, and is not in the way. */
	for (uint64_t i = N + 1; i <= N + 2000; i++) {
		metrics_up(all, SERVICE_DELIVER, i);
		row(METRIC_DELIVER_RUNNING, 1);
		take(SERVICE_DELIVER, i);
	}
	ck_line("deliver_jobs", 1024);
	ck_line("deliver_jobs_total", 2 * N);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, processes_add_up);
	tcase_add_test(tc, strange_rows);
	tcase_add_test(tc, many_processes);
}
CHECK_MAIN("metrics", cases)
