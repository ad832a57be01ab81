/* SPDX-License-Identifier: ISC */
#include "../check_main.h"

#include "dnscache/cache.h"

#include <stdio.h>

static const struct cache_limits limits = { 100, 1 << 20, 5000, 100000, 20000 };

static struct cache_entry
entry(const char *name, enum dns_status status, const char *records)
{
	return (struct cache_entry){ .name = name,
		.type = DNS_TXT,
		.status = status,
		.flags = DNS_AD,
		.cname = SLICE_LIT("c"),
		.records = slice_z(records) };
}

static const struct {
	enum dns_status status;
	uint32_t ttl_s;
	uint64_t kept_ms;
} times[] = {
	{ DNS_OK, 60, 60000 },
	{ DNS_OK, 0, 5000 },
	{ DNS_OK, 1, 5000 },
	{ DNS_OK, UINT32_MAX, 100000 },
	{ DNS_NXDOMAIN, 10, 10000 },
	{ DNS_NXDOMAIN, 60, 20000 },
	{ DNS_NODATA, 0, 5000 },
};

START_TEST(kept_as_long_as_it_holds)
{
	struct cache *c = cache_new(&limits);
	struct cache_entry e = entry("a", times[_i].status, "text"), got;

	ck_assert_uint_eq(cache_put(c, &e, times[_i].ttl_s, 1000), times[_i].kept_ms);
	ck_assert(cache_find(c, "a", DNS_TXT, 1000 + times[_i].kept_ms - 1, &got));
	ck_assert(got.status == times[_i].status && got.flags == DNS_AD);
	ck_assert(slice_is(got.cname, "c") && slice_is(got.records, "text"));
	ck_assert_str_eq(got.name, "a");
	ck_assert(!cache_find(c, "a", DNS_TXT, 1000 + times[_i].kept_ms, &got));
	cache_free(c);
}
END_TEST

START_TEST(what_is_not_the_same_is_apart)
{
	struct cache *c = cache_new(&limits);
	struct cache_entry a = entry("a", DNS_OK, "1"), b = entry("a", DNS_OK, "2"), got;
	struct cache_stats s;

	b.type = DNS_MX;
	cache_put(c, &a, 60, 0);
	cache_put(c, &b, 60, 0);
	ck_assert(cache_find(c, "a", DNS_TXT, 1, &got) && slice_is(got.records, "1"));
	ck_assert(cache_find(c, "a", DNS_MX, 1, &got) && slice_is(got.records, "2"));
	ck_assert(!cache_find(c, "aa", DNS_MX, 1, &got) && !cache_find(c, "a", DNS_A, 1, &got));
	a.records = SLICE_LIT("3");
	cache_put(c, &a, 60, 0);
	ck_assert(cache_find(c, "a", DNS_TXT, 1, &got) && slice_is(got.records, "3"));
	cache_stats(c, &s);
	ck_assert(s.entries == 2 && s.hits == 3 && s.misses == 2);
	ck_assert_uint_eq(cache_flush(c, "b"), 0);
	ck_assert_uint_eq(cache_flush(c, "a"), 2);
	cache_stats(c, &s);
	ck_assert(s.entries == 0 && s.bytes == 0);
	cache_free(c);
}
END_TEST

START_TEST(bounded_in_number)
{
	struct cache *c = cache_new(&limits);
	struct cache_stats s;
	struct cache_entry got;
	char name[16];

	for (int i = 0; i < 150; i++) {
		struct cache_entry e = entry(name, DNS_OK, "x");

		snprintf(name, sizeof name, "n%d", i);
		cache_put(c, &e, 60, 0);
		ck_assert(cache_find(c, "n0", DNS_TXT, 1, &got)); /* asked for, so it stays */
	}
	cache_stats(c, &s);
	ck_assert(s.entries == 100 && s.evicted == 50);
	ck_assert(
	    !cache_find(c, "n1", DNS_TXT, 1, &got) && !cache_find(c, "n50", DNS_TXT, 1, &got));
	ck_assert(
	    cache_find(c, "n51", DNS_TXT, 1, &got) && cache_find(c, "n149", DNS_TXT, 1, &got));
	cache_free(c);
}
END_TEST

START_TEST(bounded_in_bytes)
{
	static char big[60000];
	struct cache_limits few = limits;
	struct cache *c = cache_new(&limits);
	struct cache_stats s;
	char name[16];

	memset(big, 'x', sizeof big - 1);
	for (int i = 0; i < 50; i++) {
		struct cache_entry e = entry(name, DNS_OK, big);

		snprintf(name, sizeof name, "n%d", i);
		cache_put(c, &e, 60, 0);
	}
	cache_stats(c, &s);
	ck_assert(s.entries == 17 && s.bytes <= limits.bytes && s.bytes > 17 * 60000);
	few.bytes = 130000;
	cache_set_limits(c, &few);
	cache_stats(c, &s);
	ck_assert_uint_eq(s.entries, 2);
	few.bytes = 1000; /* one alone is more */
	cache_set_limits(c, &few);
	cache_stats(c, &s);
	ck_assert(s.entries == 0 && s.bytes == 0);
	cache_free(c);
}
END_TEST

static bool
see(void *arg, const struct cache_entry *e)
{
	(void)e;
	++*(unsigned *)arg;
	return *(unsigned *)arg % 10 != 0;
}

START_TEST(walk_sees_all_that_hold)
{
	struct cache *c = cache_new(&limits);
	uint64_t cursor = 0;
	unsigned seen = 0, steps = 0;
	char name[16];

	for (int i = 0; i < 90; i++) {
		struct cache_entry e = entry(name, DNS_OK, "x");

		snprintf(name, sizeof name, "n%d", i);
		cache_put(c, &e, i < 30 ? 5 : 60, 0);
	}
	while (cache_walk(c, &cursor, 5000, see, &seen))
		steps++;
	ck_assert_uint_eq(seen, 60);
	ck_assert_uint_ge(steps, 2);
	cache_free(c);
}
END_TEST

START_TEST(restored_is_bounded_and_older)
{
	struct cache *c = cache_new(&limits);
	struct cache_entry e = entry("a", DNS_OK, "old"), got;

	e.expires_ms = 50;
	cache_restore(c, &e, 50); /* over */
	ck_assert(!cache_find(c, "a", DNS_TXT, 50, &got));
	e.expires_ms = UINT64_MAX;
	cache_restore(c, &e, 50);
	ck_assert(cache_find(c, "a", DNS_TXT, 100049, &got) && slice_is(got.records, "old"));
	ck_assert(!cache_find(c, "a", DNS_TXT, 100050, &got));
	e.records = SLICE_LIT("new");
	cache_put(c, &e, 60, 0);
	e.records = SLICE_LIT("old");
	e.expires_ms = 99999;
	cache_restore(c, &e, 0);
	ck_assert(cache_find(c, "a", DNS_TXT, 1, &got) && slice_is(got.records, "new"));
	cache_free(c);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, kept_as_long_as_it_holds, 0, sizeof times / sizeof *times);
	tcase_add_test(tc, what_is_not_the_same_is_apart);
	tcase_add_test(tc, bounded_in_number);
	tcase_add_test(tc, bounded_in_bytes);
	tcase_add_test(tc, walk_sees_all_that_hold);
	tcase_add_test(tc, restored_is_bounded_and_older);
}
CHECK_MAIN("cache", cases)
