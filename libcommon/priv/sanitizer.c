/* SPDX-License-Identifier: ISC */
#include "priv/sanitizer.h"

static int off;

/* The sanitizer's runtime, where there is one, asks this at exit. */
int __lsan_is_turned_off(void);
int
__lsan_is_turned_off(void)
{
	return off;
}

void
sanitizer_no_leak_check(void)
{
	off = 1;
}
