/* SPDX-License-Identifier: ISC */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include "base/slice.h"

enum { DATE_TEXT = 32 }; /* "Thu, 13 Feb 2020 10:11:12 +0100" with its NUL */

/*
 * RFC 5322 section 3.3: wall clock in ms since 1970 and the zone in minutes east of UTC (beyond
 * a day: as UTC). Years beyond 9999 are shown as 9999. No clock and no TZ is looked at.
 */
void date_text(uint64_t wall_ms, int zone_min, char out[DATE_TEXT]);

enum date_zone {
	DATE_ZONE_NUMBER,  /* +0100 */
	DATE_ZONE_NAME,	   /* one of those that RFC 5322 knows: GMT, EST */
	DATE_ZONE_UNKNOWN, /* -0000, another name, none: zone_min is 0 */
};

struct date {
	unsigned year, month, day;     /* month 1 to 12 */
	unsigned hour, minute, second; /* 60: a leap second */
	int zone_min;		       /* east of UTC */
	enum date_zone zone;
};

/*
 * Reads the date at the front of a field's body: RFC 5322 section 3.3 and the obsolete forms of
 * section 4.3 (comments anywhere, years of two digits, named zones), and what is often met: months
 * as numbers or in full, no seconds, the form of asctime(). What stands behind it is not looked at,
 * nor is the name of the day. False: there is none that could be.
 */
bool date_read(struct slice value, struct date *out);

/* Seconds since 1970 in UTC; negative before. */
int64_t date_utc_s(const struct date *d);

#endif
