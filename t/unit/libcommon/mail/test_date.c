/* SPDX-License-Identifier: ISC */
#include "mail/date.h"

#include "t/unit/check_main.h"

#include <time.h>

static const struct {
	uint64_t wall_ms;
	int zone_min;
	const char *text;
} dates[] = {
	{ 0, 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
	{ 1581588672999, 60, "Thu, 13 Feb 2020 11:11:12 +0100" },
	{ 1582934400000, 0, "Sat, 29 Feb 2020 00:00:00 +0000" },
	{ 1582934400000, -1, "Fri, 28 Feb 2020 23:59:00 -0001" },
	{ 951782400000, 330, "Tue, 29 Feb 2000 05:30:00 +0530" },
	{ 4107542400000, 0, "Mon, 1 Mar 2100 00:00:00 +0000" },
	{ 1767225599000, 840, "Thu, 1 Jan 2026 13:59:59 +1400" },
	{ 1767225600000, -720, "Wed, 31 Dec 2025 12:00:00 -1200" },
	{ 0, -60, "Thu, 1 Jan 1970 00:00:00 -0100" },
	{ 1767225600000, 100000, "Thu, 1 Jan 2026 00:00:00 +0000" },
	{ UINT64_MAX, 0, "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ UINT64_MAX, 840, "Fri, 31 Dec 9999 23:59:59 +1400" },
};

START_TEST(dates_are_printed)
{
	char text[DATE_TEXT];

	date_text(dates[_i].wall_ms, dates[_i].zone_min, text);
	ck_assert_str_eq(text, dates[_i].text);
}
END_TEST

/* Each day of 400 years and more against the C library. */
START_TEST(every_day_agrees_with_the_c_library)
{
	char text[DATE_TEXT], want[64];

	for (uint64_t day = 0; day < 160000; day++) {
		time_t s = (time_t)(day * 86400 + day % 86400);
		struct tm tm;

		ck_assert(gmtime_r(&s, &tm) != NULL);
		ck_assert(strftime(want, sizeof want, "%a, %-d %b %Y %H:%M:%S +0000", &tm) > 0);
		date_text((uint64_t)s * 1000, 0, text);
		if (strcmp(text, want) != 0)
			ck_abort_msg("%s, not %s", text, want);
	}
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, dates_are_printed, 0, sizeof dates / sizeof *dates);
	tcase_add_test(tc, every_day_agrees_with_the_c_library);
}
CHECK_MAIN("date", cases)
