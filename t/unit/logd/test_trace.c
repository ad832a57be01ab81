/* SPDX-License-Identifier: ISC */
/* The story of a message, from files in any order. */
#include "ask.h"

#include "logd/trace.h"

#define ID "01B2C3D4F5G6H"
#define OTHER "01B2C3D4F5G6J"
#define SESSION "00000000000000aa"

static struct ask_world w;

static void
verb_trace(struct ctl_call *c, struct slice args)
{
	trace_start(c, w.dirfd, args);
}

static const struct ctl_verb verbs[] = {
	{ "trace", CTL_ANYONE, true, verb_trace, "" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
setup(void)
{
	ask_open(&w, verbs, NULL);
}

static void
teardown(void)
{
	ask_close(&w);
}

/* A line with a second of the day and the keys after the head. */
static void
put(struct buf *b, unsigned second, const char *event, const char *rest)
{
	buf_printf(b,
	    "{\"time\":\"2026-11-21T11:%02u:%02u.000000Z\",\"service\":\"x\",\"pid\":1,\"event\":"
	    "\"%s\",\"level\":\"info\","
	    "\"generation\":1,%s}\n",
	    second / 60, second % 60, event, rest);
}

static void
put_file(const char *name, unsigned second, const char *event, const char *rest)
{
	struct buf b = { 0 };

	put(&b, second, event, rest);
	file_put(&w, name, b.p, b.n);
	buf_fini(&b);
}

/* The events of an answer, one word each. */
static void
story(const char *id, int status, const char *want)
{
	struct asker a;
	struct buf words = { 0 };
	struct slice rest, line;

	ask(&w, &a, "trace", slice_of(id, strlen(id) + 1));
	ask_until_end(&w, &a);
	ck_assert_int_eq(a.status, status);
	rest = slice_buf(&a.out);
	while (slice_next(&rest, '\n', &line)) {
		const char *at = line.n == 0 ? NULL : memmem(line.p, line.n, "\"event\":\"", 9);

		if (at == NULL)
			continue;
		for (at += 9; *at != '"'; at++)
			buf_putc(&words, *at);
		buf_putc(&words, ' ');
	}
	buf_putc(&words, '\0');
	ck_assert_str_eq(words.p, want);
	buf_fini(&words);
	ask_done(&a);
}

/* By time, over all files, with the lines of the session that brought it in, and nothing else. */
START_TEST(in_order_of_time)
{
	put_file("angarium.log.2", 10, "connect",
	    "\"session\":\"" SESSION "\",\"client\":\"192.0.2.1:25\"");
	put_file("angarium.log.2", 14, "reject", "\"session\":\"" SESSION "\",\"code\":501");
	put_file("angarium.log.2", 13, "connect", "\"session\":\"00000000000000ab\"");
	put_file("angarium.log.1", 30, "attempt-1", "\"id\":\"" ID "\",\"attempt\":1");
	put_file("angarium.log.1", 20, "received", "\"id\":\"" ID "\",\"session\":\"" SESSION "\"");
	put_file(
	    "angarium.log.1", 21, "received", "\"id\":\"" OTHER "\",\"session\":\"" SESSION "\"");
	put_file("angarium.log.1", 22, "attempt", "\"id\":\"" OTHER "\",\"attempt\":1");
	put_file("angarium.log", 60, "attempt-2", "\"id\":\"" ID "\",\"attempt\":2");
	put_file("angarium.log", 40, "disconnect", "\"session\":\"" SESSION "\"");
	put_file("angarium.log", 50, "note", "\"text\":\"\\\"id\\\":\\\"" ID "\\\"\"");
	put_file("angarium.log", 61, "done", "\"id\":\"" ID "\"");
	put_file("angarium.log", 62, "note", "\"text\":\"" SESSION "\"");
	story(ID, 0, "connect reject received attempt-1 disconnect attempt-2 done ");
	story("01b2c3d4f5g6h", 0, "connect reject received attempt-1 disconnect attempt-2 done ");
	story(OTHER, 0, "connect reject received attempt disconnect ");
}
END_TEST

START_TEST(nothing_to_tell)
{
	struct asker a;
	static const struct slice words[] = { SLICE_LIT(""), SLICE_LIT("nonsense\0"),
		SLICE_LIT("\0"), SLICE_LIT("01B2C3D4F5G6\0") };

	story(ID, 69, ""); /* without a file */
	put_file("angarium.log", 1, "done", "\"id\":\"" OTHER "\"");
	story(ID, 69, "");
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		ask(&w, &a, "trace", words[i]);
		ask_until_end(&w, &a);
		ck_assert_int_eq(a.status, 64);
		ask_done(&a);
	}
}
END_TEST

/* Damaged files: no line end, very long lines, bytes of any kind. */
START_TEST(odd_files)
{
	struct buf b = { 0 };

	put(&b, 5, "five", "\"id\":\"" ID "\"");
	for (unsigned i = 0; i < 400000; i++)
		buf_putc(&b, (char)(i % 251 == '\n' ? 0 : i % 251));
	buf_putc(&b, '\n');
	put(&b, 3, "three", "\"id\":\"" ID "\"");
	buf_puts(&b, "short " ID "\n\n");
	put(&b, 4, "received", "\"id\":\"" ID "\",\"session\":\"00\"");
	put(&b, 9, "cut", "\"id\":\"" ID "\"");
	b.n -= 5;
	file_put(&w, "angarium.log", b.p, b.n);
	buf_fini(&b);
	story(ID, 0, "three received five ");
}
END_TEST

/* What has the same time stays in its order, however much memory it takes. */
START_TEST(same_time)
{
	struct buf b = { 0 }, want = { 0 };
	char event[16];

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(event, sizeof event, "e%u", i);
		put(&b, 7, event, "\"id\":\"" ID "\"");
		buf_printf(&want, "%s ", event);
	}
	buf_putc(&want, '\0');
	file_put(&w, "angarium.log", b.p, b.n);
	story(ID, 0, want.p);
	buf_fini(&b);
	buf_fini(&want);
}
END_TEST

/* Too long a story says how much is not told. */
START_TEST(bounded)
{
	struct buf b = { 0 };
	struct asker a;
	static const char end[] = "{\"event\":\"missed\",\"count\":7}\n";

	for (unsigned i = 0; i < 10007; i++)
		put(&b, 7, "attempt", "\"id\":\"" ID "\"");
	file_put(&w, "angarium.log", b.p, b.n);
	ask(&w, &a, "trace", SLICE_LIT(ID "\0"));
	ask_until_end(&w, &a);
	ck_assert_int_eq(a.status, 0);
	ck_assert(slice_iends(slice_buf(&a.out), slice_z(end)));
	ask_done(&a);
	buf_fini(&b);
}
END_TEST

/* A caller that leaves in the middle takes the search with it; others are served between its steps.
 */
START_TEST(left_alone)
{
	struct buf b = { 0 };
	struct asker a, other;

	while (b.n < 8 << 20)
		put(&b, 7, "note", "\"text\":\"of no interest\"");
	put(&b, 8, "done", "\"id\":\"" ID "\"");
	file_put(&w, "angarium.log", b.p, b.n);
	ask(&w, &a, "trace", SLICE_LIT(ID "\0"));
	ask_hear(&a);
	ck_assert_int_eq(a.status, -1);
	ask(&w, &other, "nonsense", SLICE_NONE);
	ask_hear(&other);
	ck_assert_int_eq(other.status, 64);
	ask_hear(&a);
	ck_assert_int_eq(a.status, -1);
	ask_done(&a);
	ask_done(&other);
	story(ID, 0, "done ");
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, in_order_of_time);
	tcase_add_test(tc, nothing_to_tell);
	tcase_add_test(tc, odd_files);
	tcase_add_test(tc, same_time);
	tcase_add_test(tc, bounded);
	tcase_add_test(tc, left_alone);
}
CHECK_MAIN("trace", cases)
