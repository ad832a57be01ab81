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

#define UNKNOWN DATE_ZONE_UNKNOWN
#define NAMED DATE_ZONE_NAME

static const struct {
	const char *in;
	struct date d;
} readings[] = {
	{ "Thu, 13 Feb 2020 11:11:12 +0100", { 2020, 2, 13, 11, 11, 12, 60, 0 } },
	{ " 1 Jan 1970 00:00:00 +0000\r\n", { 1970, 1, 1, 0, 0, 0, 0, 0 } },
	{ "Thu,\r\n 13\r\n\tFeb\r\n 1969 23:32\r\n -0330 (Newfoundland Time)",
	    { 1969, 2, 13, 23, 32, 0, -210, 0 } },
	{ "Fri, 21 Nov 1997 09(comment) :  55 (a (b) \\) c) :  06 -0600",
	    { 1997, 11, 21, 9, 55, 6, -360, 0 } },
	{ "Sat, 31 Dec 2016 23:59:60 +0000", { 2016, 12, 31, 23, 59, 60, 0, 0 } },
	{ "29 feb 2000 1:2:3 +1400", { 2000, 2, 29, 1, 2, 3, 840, 0 } },
	/* obsolete forms of section 4.3 */
	{ "21 Nov 97 09:55:06 GMT", { 1997, 11, 21, 9, 55, 6, 0, NAMED } },
	{ "21 Nov 49 09:55:06 ut", { 2049, 11, 21, 9, 55, 6, 0, NAMED } },
	{ "21 Nov 50 09:55:06 EST", { 1950, 11, 21, 9, 55, 6, -300, NAMED } },
	{ "21 Nov 103 09:55:06 PDT", { 2003, 11, 21, 9, 55, 6, -420, NAMED } },
	{ "21 Nov 1997 09:55:06 -0000", { 1997, 11, 21, 9, 55, 6, 0, UNKNOWN } },
	{ "21 Nov 1997 09:55:06 Q", { 1997, 11, 21, 9, 55, 6, 0, UNKNOWN } },
	{ "21 Nov 1997 09:55:06 MEZ", { 1997, 11, 21, 9, 55, 6, 0, UNKNOWN } },
	{ "21 Nov 1997 09:55:06", { 1997, 11, 21, 9, 55, 6, 0, UNKNOWN } },
	/* what is met */
	{ "21 Nov 1997 09:55:06 EST5EDT", { 1997, 11, 21, 9, 55, 6, -300, NAMED } },
	{ "Sun Nov  3 15:38:52 2005", { 2005, 11, 3, 15, 38, 52, 0, UNKNOWN } },
	{ "Sun Nov 13 15:38:52 MST 2005", { 2005, 11, 13, 15, 38, 52, -420, NAMED } },
	{ "Sun Nov 13 15:38:52 +0200 2005", { 2005, 11, 13, 15, 38, 52, 120, 0 } },
	{ "13-FEB-2003 10:22:33.44", { 2003, 2, 13, 10, 22, 33, 0, UNKNOWN } },
	{ "Thursday, 13 February 2020 11:11:12 +0100", { 2020, 2, 13, 11, 11, 12, 60, 0 } },
	{ "20 11 79 05:34:27 -0300", { 1979, 11, 20, 5, 34, 27, -180, 0 } },
	{ "1 Jan 2001 12:00:00 +0100 (CET) and more", { 2001, 1, 1, 12, 0, 0, 60, 0 } },
	{ "1 Jan 2001 12:00:00 +01", { 2001, 1, 1, 12, 0, 0, 0, UNKNOWN } },
	{ "1 Jan 2001 12:00:00 +0160", { 2001, 1, 1, 12, 0, 0, 0, UNKNOWN } },
	/* none */
	{ "", { 0 } }, { "never", { 0 } }, { "Tue, 7 Sjj 2026 19:14:51 +0000", { 0 } },
	{ "1 13 2026 19:14:51 +0000", { 0 } }, { "1 Jan 2026", { 0 } }, { "1 Jan 2026 19", { 0 } },
	{ "1 Jan 2026 24:00:00 +0000", { 0 } }, { "1 Jan 2026 23:60:00 +0000", { 0 } },
	{ "1 Jan 2026 23:59:61 +0000", { 0 } }, { "0 Jan 2026 23:59:00 +0000", { 0 } },
	{ "32 Jan 2026 23:59:00 +0000", { 0 } }, { "31 Apr 2026 23:59:00 +0000", { 0 } },
	{ "29 Feb 2026 23:59:00 +0000", { 0 } }, { "29 Feb 2100 23:59:00 +0000", { 0 } },
	{ "1 Jan 6 23:59:00 +0000", { 0 } }, { "1 Jan 1899 23:59:00 +0000", { 0 } },
	{ "1 Jan 4294969322 23:59:00 +0000", { 0 } },
	{ "99999999999999999999 Jan 2026 23:59:00 +0000", { 0 } },
	{ "1 Jan 2026 (23:59:00 +0000", { 0 } },
	{ "1 Jan 2026\n23:59:00 +0000", { 0 } }, /* another line: no folding */
};

START_TEST(dates_are_read)
{
	const struct date *want = &readings[_i].d;
	struct date d;

	ck_assert_msg(
	    date_read(slice_z(readings[_i].in), &d) == (want->year != 0), "%s", readings[_i].in);
	if (want->year == 0)
		return;
	ck_assert_msg(d.year == want->year && d.month == want->month && d.day == want->day &&
			  d.hour == want->hour && d.minute == want->minute &&
			  d.second == want->second && d.zone_min == want->zone_min &&
			  d.zone == want->zone,
	    "%s", readings[_i].in);
}
END_TEST

START_TEST(what_is_printed_is_read)
{
	for (uint64_t day = 0; day < 160000; day += 7) {
		int zone_min = (int)(day % 1800) - 900;
		int64_t s = (int64_t)(day * 86400 + day % 86400) + 86400;
		char text[DATE_TEXT];
		struct date d;

		date_text((uint64_t)s * 1000, zone_min, text);
		if (!date_read(slice_z(text), &d) || d.zone_min != zone_min || date_utc_s(&d) != s)
			ck_abort_msg("%s", text);
	}
	ck_assert(date_utc_s(&(struct date){ 1969, 12, 31, 23, 59, 59, 0, 0 }) == -1);
	ck_assert(date_utc_s(&(struct date){ 1900, 3, 1, 0, 0, 0, 60, 0 }) == -2203894800);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, dates_are_printed, 0, sizeof dates / sizeof *dates);
	tcase_add_loop_test(tc, dates_are_read, 0, sizeof readings / sizeof *readings);
	tcase_add_test(tc, what_is_printed_is_read);
	tcase_add_test(tc, every_day_agrees_with_the_c_library);
}
CHECK_MAIN("date", cases)
