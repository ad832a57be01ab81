/* SPDX-License-Identifier: ISC */
/* From packets to lines, and those who look on. */
#include "ask.h"

#include "logd/events.h"

static struct ask_world w;
static struct events events;
static struct conf *conf;

static void
verb_follow(struct ctl_call *c, struct slice args)
{
	followers_add(events.followers, c, args);
}

static const struct ctl_verb verbs[] = {
	{ "follow", CTL_ANYONE, true, verb_follow, "" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
setup(void)
{
	struct buf err = { 0 };

	ask_open(&w, verbs, NULL);
	events = (struct events){ .sink = sink_new(w.loop, w.dirfd, SINK_FILE),
		.followers = followers_new(),
		.metrics = metrics_new(),
		.level = LEVEL_INFO };
	ck_assert_int_eq(conf_parse(SLICE_LIT("mail_log = no\n"), "test", &conf, &err), 0);
	events.outputs = outputs_new(w.loop, w.dirfd, "host", NULL, conf);
	followers_set_server(events.followers, w.server);
}

static void
teardown(void)
{
	sink_free(events.sink);
	outputs_free(events.outputs);
	conf_unref(conf);
	ask_close(&w);
	followers_free(events.followers);
	metrics_free(events.metrics);
}

static const struct {
	const char *key, *value;
	bool has;
} conditions[] = {
	{ "event", "attempt", true },
	{ "event", "attemp", false },
	{ "event", "attempts", false },
	{ "event", "", false },
	{ "vent", "attempt", false },
	{ "code", "250", true },
	{ "code", "25", false },
	{ "code", "2500", false },
	{ "last", "7", true },		  /* the line's last value */
	{ "to", "a\"b@x.example", true }, /* compared as it was, not as it is written */
	{ "to", "a\\\"b@x.example", false },
	{ "from", "", true },
	{ "none", "", false },
	{ "", "", false },
	{ "id", "FORGED", false }, /* within a text */
	{ "text", "x\",\"id\":\"FORGED", true },
};

START_TEST(line_has_values)
{
	struct slice line = SLICE_LIT(
	    "{\"event\":\"attempt\",\"code\":250,\"to\":\"a\\\"b@x.example\",\"from\":\"\","
	    "\"text\":\"x\\\",\\\"id\\\":\\\"FORGED\",\"last\":7}\n");

	ck_assert(line_has(line, slice_z(conditions[_i].key), slice_z(conditions[_i].value)) ==
		  conditions[_i].has);
	/* Never beyond the line's end, wherever it is cut (san). */
	for (size_t n = 0; n < line.n; n++) {
		char *exact = malloc(n + 1);

		memcpy(exact, line.p, n);
		line_has(
		    slice_of(exact, n), slice_z(conditions[_i].key), slice_z(conditions[_i].value));
		free(exact);
	}
}
END_TEST

static void
line(unsigned code, const char *event)
{
	struct buf b = { 0 };

	buf_printf(&b, "{\"event\":\"%s\",\"code\":%u}\n", event, code);
	if (followers_any(events.followers))
		followers_line(events.followers, slice_buf(&b));
	buf_fini(&b);
	for (int i = 0; i < 4; i++)
		loop_turn(w.loop, false);
}

START_TEST(conditions_are_all_met)
{
	static const struct {
		struct slice args;
		const char *out;
	} rows[] = {
		{ SLICE_LIT(""), "{\"event\":\"a\",\"code\":1}\n{\"event\":\"b\",\"code\":1}\n{"
				 "\"event\":\"a\",\"code\":2}\n" },
		{ SLICE_LIT("event=a\0"),
		    "{\"event\":\"a\",\"code\":1}\n{\"event\":\"a\",\"code\":2}\n" },
		{ SLICE_LIT("event=a\0code=2\0"), "{\"event\":\"a\",\"code\":2}\n" },
		{ SLICE_LIT("event=a\0event=b\0"), "" },
	};
	struct asker a[4];

	ck_assert(!followers_any(events.followers));
	for (size_t i = 0; i < 4; i++)
		ask(&w, &a[i], "follow", rows[i].args);
	line(1, "a");
	line(1, "b");
	line(2, "a");
	for (size_t i = 0; i < 4; i++) {
		ask_hear(&a[i]);
		buf_putc(&a[i].out, '\0');
		ck_assert_str_eq(a[i].out.p, rows[i].out);
		ck_assert_int_eq(a[i].status, -1);
		ask_done(&a[i]);
	}
	/* All have hung up: the next line finds that out. */
	for (int i = 0; i < 4; i++)
		loop_turn(w.loop, false);
	line(3, "a");
	ck_assert(!followers_any(events.followers));
}
END_TEST

START_TEST(wrong_words)
{
	static const struct slice rows[] = { SLICE_LIT("event\0"), SLICE_LIT("=a\0"),
		SLICE_LIT("a=b\0c\0"), SLICE_LIT("\0") };
	struct asker a;

	ask(&w, &a, "follow", rows[_i]);
	ask_hear(&a);
	ck_assert_int_eq(a.status, 64);
	ck_assert(!followers_any(events.followers));
	ask_done(&a);
}
END_TEST

START_TEST(so_many_and_no_more)
{
	struct asker a[17];

	for (size_t i = 0; i < 17; i++)
		ask(&w, &a[i], "follow", SLICE_NONE);
	ask_hear(&a[15]);
	ask_hear(&a[16]);
	ck_assert_int_eq(a[15].status, -1);
	ck_assert_int_eq(a[16].status, 75);
	ask_done(&a[16]);
	/* Another's end makes room, even before a line has found it. */
	ask_done(&a[3]);
	for (int i = 0; i < 4; i++)
		loop_turn(w.loop, false);
	ask(&w, &a[3], "follow", SLICE_LIT("event=a\0"));
	line(1, "b");
	line(1, "a");
	ask_hear(&a[3]);
	ck_assert(slice_is(slice_buf(&a[3].out), "{\"event\":\"a\",\"code\":1}\n"));
	for (size_t i = 0; i < 16; i++)
		ask_done(&a[i]);
}
END_TEST

/* Who does not read misses lines, is told how many, and costs the others nothing. */
START_TEST(slow_readers)
{
	static char text[4096];
	struct asker slow, quick;
	unsigned told = 0, seen = 0, quick_seen = 0;
	unsigned long long n;
	struct slice rest, one;

	memset(text, 'x', sizeof text - 1);
	ask(&w, &slow, "follow", SLICE_NONE);
	ask(&w, &quick, "follow", SLICE_NONE);
	for (unsigned i = 0; i < 1000; i++) {
		line(i, text);
		ask_hear(&quick);
	}
	/* It reads again, and hears of the gap with the next line. */
	for (int i = 0; i < 200; i++) {
		ask_hear(&slow);
		loop_turn(w.loop, false);
	}
	line(1000, "last");
	ask_hear(&slow);
	ask_hear(&quick);
	for (rest = slice_buf(&quick.out); slice_next(&rest, '\n', &one);)
		quick_seen += one.n > 0;
	ck_assert_uint_eq(quick_seen, 1001);
	for (rest = slice_buf(&slow.out); slice_next(&rest, '\n', &one);) {
		char z[80];

		slice_copy(one, z, sizeof z);
		if (sscanf(z, "{\"event\":\"missed\",\"count\":%llu}", &n) == 1)
			told += (unsigned)n;
		else
			seen += one.n > 0;
	}
	ck_assert_uint_gt(told, 0);
	ck_assert_uint_eq(told + seen, 1001);
	ask_done(&slow);
	ask_done(&quick);
}
END_TEST

/* Events as another process would send them. */
static struct buf
packet(void)
{
	struct buf b = { 0 };
	struct slice all;
	uint64_t lost;

	all = log_pending(&lost);
	buf_slice(&b, all);
	log_sent(all.n, lost);
	return b;
}

static void
lines_are(const char *want)
{
	struct buf file = { 0 }, words = { 0 };
	struct slice rest, one;

	sink_flush(events.sink);
	file_get(&w, SINK_FILE, &file);
	rest = slice_buf(&file);
	while (slice_next(&rest, '\n', &one) && one.n > 0) {
		static const char *const names[] = { "received", "note", "trouble", "log-lost" },
					 *const services[] = { "smtpd", "logd" };

		for (size_t s = 0; s < 2; s++)
			if (line_has(one, SLICE_LIT("service"), slice_z(services[s])))
				buf_printf(&words, "%s:", services[s]);
		for (size_t i = 0; i < 4; i++)
			if (line_has(one, SLICE_LIT("event"), slice_z(names[i])))
				buf_printf(&words, "%s ", names[i]);
	}
	buf_putc(&words, '\0');
	ck_assert_str_eq(words.p, want);
	buf_fini(&file);
	buf_fini(&words);
}

START_TEST(packets_become_lines)
{
	struct buf b;

	log_begin(LOG_RECEIVED);
	log_id(1);
	log_end();
	log_trouble(0, "x");
	b = packet();
	ck_assert(events_take(&events, SERVICE_SMTPD, 0, slice_buf(&b)));
	ck_assert_uint_eq(events.taken[SERVICE_SMTPD], 2);
	lines_are("smtpd:received smtpd:trouble ");
	/* Losses are told by a line of logd's own, at the turn's end. */
	ck_assert(events_take(&events, SERVICE_SMTPD, 5, slice_buf(&b)));
	ck_assert_uint_eq(events.lost[SERVICE_SMTPD], 5);
	events_take_own(&events);
	lines_are("smtpd:received smtpd:trouble smtpd:received smtpd:trouble logd:log-lost ");
	events_take_own(&events);
	lines_are("smtpd:received smtpd:trouble smtpd:received smtpd:trouble logd:log-lost ");
	buf_fini(&b);
}
END_TEST

START_TEST(levels)
{
	struct buf b;

	log_note("nothing");
	log_trouble(0, "x");
	b = packet();
	events.level = LEVEL_ERROR;
	ck_assert(events_take(&events, SERVICE_SMTPD, 0, slice_buf(&b)));
	log_note("own");
	events_take_own(&events);
	lines_are("smtpd:trouble ");
	buf_fini(&b);
}
END_TEST

/* A packet that is none is refused from where it breaks; what was before it is kept, and no line is
 * half. */
START_TEST(bad_packets)
{
	struct buf b;
	size_t good;

	log_note("one");
	b = packet();
	good = b.n;
	switch (_i) {
	case 0:
		buf_puts(&b, "x");
		break;
	case 1:
		buf_put(&b, b.p, good);
		b.n -= 1;
		break;
	case 2: /* an event that there is not */
		buf_put(&b, b.p, good);
		b.p[good + 4] = (char)200;
		break;
	case 3: /* a field's kind */
		buf_put(&b, b.p, good);
		b.p[good + LOG_HEAD + 1] = 9;
		break;
	}
	ck_assert(!events_take(&events, SERVICE_SMTPD, 0, slice_buf(&b)));
	ck_assert_uint_eq(events.bad, 1);
	lines_are("smtpd:note ");
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, line_has_values, 0, sizeof conditions / sizeof *conditions);
	tcase_add_test(tc, conditions_are_all_met);
	tcase_add_loop_test(tc, wrong_words, 0, 4);
	tcase_add_test(tc, so_many_and_no_more);
	tcase_add_test(tc, slow_readers);
	tcase_add_test(tc, packets_become_lines);
	tcase_add_test(tc, levels);
	tcase_add_loop_test(tc, bad_packets, 0, 4);
}
CHECK_MAIN("follow", cases)
