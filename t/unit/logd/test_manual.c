/* SPDX-License-Identifier: ISC */
/* angarium-log.5 names every event with its level and its sentence, and every key with its type, in
 * the order of the tables; angarium-metrics.5 every row of what processes count. */
#include "../check_main.h"

#include "base/buf.h"
#include "base/log_events.h"
#include "base/metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TYPE_U64 "number"
#define TYPE_ID "id"
#define TYPE_HEX "hex"
#define TYPE_STR "text"
#define TYPE_ADDR "address"
#define TYPE_ENH "status"
#define LEVEL_WORD_DEBUG "debug"
#define LEVEL_WORD_INFO "info"
#define LEVEL_WORD_NOTICE "notice"
#define LEVEL_WORD_WARNING "warning"
#define LEVEL_WORD_ERROR "error"

static struct buf page;

static void
read_page(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	buf_reset(&page);
	ck_assert_msg(fd >= 0, "to be run from the root of the tree");
	while ((n = read(fd, buf_room(&page, 4096), 4096)) > 0)
		page.n += (size_t)n;
	buf_putc(&page, '\0');
	close(fd);
}

static void
setup(void)
{
	read_page("logd/angarium-log.5");
}

static void
teardown(void)
{
	buf_fini(&page);
}

/* The part from one heading to the next. */
static char *
section(const char *heading)
{
	char *at = strstr(page.p, heading), *end;

	ck_assert_ptr_nonnull(at);
	end = strstr(at + 1, "\n.Sh ");
	ck_assert_ptr_nonnull(end);
	*end = '\0';
	return at;
}

/* The line must stand behind the last one found. */
static void
find(const char **from, const char *line)
{
	const char *at = strstr(*from, line);

	ck_assert_msg(at != NULL, "missing or at the wrong place: %s", line);
	*from = at + strlen(line) - 1;
}

static unsigned
count(const char *in, const char *what)
{
	unsigned n = 0;

	while ((in = strstr(in, what)) != NULL) {
		n++;
		in++;
	}
	return n;
}

START_TEST(events)
{
	const char *all = section("\n.Sh EVENTS\n"), *at = all;
	char line[256];
	unsigned n = 0;

#define E(NAME, number, word, level, when)                                                    \
	snprintf(line, sizeof line, "\n.It %s Pq %s\n%s.\n", word, LEVEL_WORD_##level, when); \
	find(&at, line);                                                                      \
	n++;
	LOG_EVENTS(E)
#undef E
	ck_assert_uint_eq(count(all, "\n.It "), n);
}
END_TEST

START_TEST(keys)
{
	const char *all = section("\n.Sh KEYS\n"), *at = all;
	char line[256];
	unsigned n = 1; /* the head of the table */

#define K(NAME, number, word, how)                                           \
	snprintf(line, sizeof line, "\n.It %s Ta %s Ta ", word, TYPE_##how); \
	find(&at, line);                                                     \
	n++;
	LOG_KEYS(K)
#undef K
	ck_assert_uint_eq(count(all, "\n.It "), n);
}
END_TEST

/* What .Cm names is a key: no slip of the pen. */
START_TEST(named_keys_exist)
{
	static const char *const words[] = {
#define K(NAME, number, word, how) word,
		LOG_KEYS(K)
#undef K
		    "time",
		",",
		".",
		";",
	};
	struct slice rest = slice_z(page.p), line, word;

	while (slice_next(&rest, '\n', &line)) {
		if (!slice_istarts(line, ".Cm "))
			continue;
		line = slice_from(line, 4);
		while (slice_next(&line, ' ', &word)) {
			bool known = false;

			for (size_t i = 0; i < sizeof words / sizeof *words; i++)
				known |= slice_is(word, words[i]);
			ck_assert_msg(known, "no such key: %.*s", SLICE_ARG(word));
		}
	}
}
END_TEST

START_TEST(counts)
{
	enum { OF_LOGD = 9 }; /* those that it counts itself: a test of the page knows them */
	const char *all, *at, *last = "";
	char line[256];
	unsigned n = OF_LOGD;

	read_page("logd/angarium-metrics.5");
	at = all = section("\n.Sh NAMES\n");
	for (unsigned i = 0; i < METRIC_END; i++) {
		const struct metric_row *row = metric_row(i);

		if (row == NULL || strcmp(row->name, last) == 0)
			continue;
		last = row->name;
		snprintf(line, sizeof line, "\n.It angarium_%s Pq %s, %s\n%s\n", row->name,
		    row->type == METRIC_COUNTER ? "counter" : "gauge", service_word(row->service),
		    row->help);
		find(&at, line);
		n++;
	}
	ck_assert_uint_eq(count(all, "\n.It "), n);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, events);
	tcase_add_test(tc, keys);
	tcase_add_test(tc, named_keys_exist);
	tcase_add_test(tc, counts);
}
CHECK_MAIN("manual", cases)
