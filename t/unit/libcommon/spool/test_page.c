/* SPDX-License-Identifier: ISC */
/* spool.5 names every field and every kind with its number and type, in the order of the tables. */
#include "base/buf.h"
#include "spool/envelope.h"
#include "spool/journal.h"

#include "t/unit/libcommon/spool/spool_test.h"

static struct buf page;

static void
setup(void)
{
	int fd = open("libcommon/spool/spool.5", O_RDONLY);
	ssize_t n;

	ck_assert_msg(fd >= 0, "to be run from the root of the tree");
	while ((n = read(fd, buf_room(&page, 4096), 4096)) > 0)
		page.n += (size_t)n;
	buf_putc(&page, '\0');
	close(fd);
}

static void
teardown(void)
{
	buf_fini(&page);
}

/* The line must stand behind the last one found. */
static void
find(const char **from, const char *line)
{
	const char *at = strstr(*from, line);

	ck_assert_msg(at != NULL, "missing or at the wrong place: %s", line);
	*from = at + strlen(line);
}

START_TEST(envelope_fields_stand_in_the_page)
{
	const char *at = page.p;
	char line[128];

#define F(NAME, name, number, type, critical, what)                                        \
	snprintf(line, sizeof line, "\n.It %d Ta %s Ta %s Ta%s Ta ", number, #name, #type, \
	    critical ? " !" : " ");                                                        \
	find(&at, line);
	ENVELOPE_MESSAGE_FIELDS(F)
	ENVELOPE_RCPT_FIELDS(F)
#undef F
}
END_TEST

START_TEST(journal_kinds_stand_in_the_page)
{
	const char *at = strstr(page.p, ".Sh JOURNAL");
	char line[128];

	ck_assert_ptr_nonnull(at);
#define F(type, name, what)                                              \
	snprintf(line, sizeof line, "\n.It %s Ta %s Ta ", #type, #name); \
	find(&at, line);
#define K(NAME, name, number, critical)                                  \
	snprintf(line, sizeof line, "\n.It %d %s%s\n.Bl", number, #name, \
	    critical ? "" : " Pq not critical");                         \
	find(&at, line);                                                 \
	at--;                                                            \
	JOURNAL_##NAME(F)
	JOURNAL_KINDS(K)
#undef K
#undef F
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, envelope_fields_stand_in_the_page);
	tcase_add_test(tc, journal_kinds_stand_in_the_page);
}
CHECK_MAIN("page", cases)
