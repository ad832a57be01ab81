/* SPDX-License-Identifier: ISC */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include <stdint.h>

enum { DATE_TEXT = 32 }; /* "Thu, 13 Feb 2020 10:11:12 +0100" with its NUL */

/*
 * RFC 5322 section 3.3: wall clock in ms since 1970 and the zone in minutes east of UTC (beyond
 * a day: as UTC). Years beyond 9999 are shown as 9999. No clock and no TZ is looked at.
 */
void date_text(uint64_t wall_ms, int zone_min, char out[DATE_TEXT]);

#endif
