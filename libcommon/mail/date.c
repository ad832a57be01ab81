/* SPDX-License-Identifier: ISC */
#include "mail/date.h"

#include <string.h>

static char *
put_two(char *to, unsigned v)
{
	to[0] = (char)('0' + v / 10);
	to[1] = (char)('0' + v % 10);
	return to + 2;
}

static char *
put_name(char *to, const char *names, unsigned i)
{
	memcpy(to, names + i * 3, 3);
	return to + 3;
}

struct day {
	unsigned year, month, day; /* month 0 to 11, day 1 to 31 */
};

/*
 * Days since 1970 to the Gregorian calendar: counted in eras of 400 years that begin on the first
 * of March, so that the leap day is the last of its year.
 */
static struct day
day_of(uint64_t days)
{
	uint64_t since = days + 719468; /* since 0000-03-01 */
	unsigned of_era = (unsigned)(since % 146097);
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned from_march = (5 * of_year + 2) / 153;
	unsigned month = (from_march + 2) % 12;

	return (struct day){ .year = (unsigned)(since / 146097) * 400 + year + (month < 2),
		.month = month,
		.day = of_year - (153 * from_march + 2) / 5 + 1 };
}

void
date_text(uint64_t wall_ms, int zone_min, char out[DATE_TEXT])
{
	static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const uint64_t last = 253402300799U; /* 9999-12-31 23:59:59 */
	int zone = zone_min > -24 * 60 && zone_min < 24 * 60 ? zone_min : 0;
	unsigned away = (unsigned)(zone < 0 ? -zone : zone);
	uint64_t s = wall_ms / 1000;
	struct day day;
	char *to = out;

	if (zone >= 0)
		s = s > last - away * 60 ? last : s + away * 60;
	else
		s = s < away * 60 ? 0 : s - away * 60;
	if (s > last)
		s = last;
	day = day_of(s / 86400);
	to = put_name(to, weekdays, (unsigned)(s / 86400 % 7));
	*to++ = ',';
	*to++ = ' ';
	if (day.day >= 10)
		*to++ = (char)('0' + day.day / 10);
	*to++ = (char)('0' + day.day % 10);
	*to++ = ' ';
	to = put_name(to, months, day.month);
	*to++ = ' ';
	to = put_two(to, day.year / 100);
	to = put_two(to, day.year % 100);
	*to++ = ' ';
	to = put_two(to, (unsigned)(s / 3600 % 24));
	*to++ = ':';
	to = put_two(to, (unsigned)(s / 60 % 60));
	*to++ = ':';
	to = put_two(to, (unsigned)(s % 60));
	*to++ = ' ';
	*to++ = zone < 0 ? '-' : '+';
	to = put_two(to, away / 60);
	to = put_two(to, away % 60);
	*to = '\0';
}
