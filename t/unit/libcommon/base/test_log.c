/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

static uint64_t now_ms = 1767225600123; /* 2026-01-01T00:00:00.123Z */

static uint64_t
fake_now(void)
{
	return now_ms;
}

static const struct clock_source fake = {
	.mono_ms = fake_now, .boot_ms = fake_now, .wall_ms = fake_now
};

static void
setup(void)
{
	clock_set_source(&fake);
	log_open(SERVICE_QMGR);
	log_set_generation(3);
}

static struct slice
pending(void)
{
	uint64_t lost;

	return log_pending(&lost);
}

static void
forget(void)
{
	uint64_t lost;
	struct slice all = log_pending(&lost);

	log_sent(all.n, lost);
}

/* As JSON, with the process id as 42. */
static char *
json_of(struct slice in)
{
	static char out[65536];
	struct buf b = { 0 };
	struct log_record r;

	while (in.n > 0) {
		ck_assert(log_record_next(&in, &r));
		ck_assert(log_record_valid(&r));
		ck_assert_uint_eq(r.pid, (uint32_t)getpid());
		r.pid = 42;
		log_format_json(&b, &r, SERVICE_QMGR);
	}
	slice_copy(slice_buf(&b), out, sizeof out);
	buf_fini(&b);
	return out;
}

START_TEST(every_kind_of_value)
{
	static const uint8_t enh[3] = { 4, 7, 1 };
	uint8_t v4[16], v6[16];
	uint64_t id;
	struct buf text = { 0 };
	struct log_record r;
	struct slice in;

	ck_assert(addr_host_parse(SLICE_LIT("192.0.2.1"), v4) &&
		  addr_host_parse(SLICE_LIT("2001:db8::1"), v6));
	ck_assert(id_parse(SLICE_LIT("01B2C3D4F5G6H"), &id));
	log_begin(LOG_ATTEMPT);
	log_id(id);
	log_u64(LOGK_SESSION, 0xabc);
	log_u64(LOGK_ATTEMPT, UINT64_MAX);
	log_str(LOGK_TO, SLICE_LIT("\"q\"\n@b.example"));
	log_z(LOGK_RELAY, "");
	log_addr(LOGK_CLIENT, v4, 25);
	log_addr(LOGK_ADDR, v6, 65535);
	log_enh(enh);
	log_end();
	ck_assert_str_eq(json_of(pending()),
	    "{\"time\":\"2026-01-01T00:00:00.123000Z\",\"service\":\"qmgr\",\"pid\":42,\"event\":"
	    "\"attempt\",\"level\":\"info\","
	    "\"generation\":3,\"id\":\"01B2C3D4F5G6H\",\"session\":\"0000000000000abc\","
	    "\"attempt\":18446744073709551615,"
	    "\"to\":\"\\\"q\\\"\\n@b.example\",\"relay\":\"\",\"client\":\"192.0.2.1:25\",\"addr\":"
	    "\"[2001:db8::1]:65535\","
	    "\"dsn\":\"4.7.1\"}\n");
	in = pending();
	ck_assert(log_record_next(&in, &r));
	log_format_text(&text, &r);
	buf_putc(&text, '\0');
	ck_assert_str_eq(text.p,
	    "attempt id=01B2C3D4F5G6H session=0000000000000abc attempt=18446744073709551615 "
	    "to=\"\\\"q\\\"\\n@b.example\" relay=\"\" client=192.0.2.1:25 addr=[2001:db8::1]:65535 "
	    "dsn=4.7.1");
	buf_fini(&text);
}
END_TEST

/* Every event and every key of the tables, in each kind that a row may hold: readable, and one
 * line. */
START_TEST(every_row)
{
	static const enum log_event events[] = {
#define E(NAME, number, word, level, when) LOG_##NAME,
		LOG_EVENTS(E)
#undef E
	};
	static const enum log_key keys[] = {
#define K(NAME, number, word, how) LOGK_##NAME,
		LOG_KEYS(K)
#undef K
	};
	static const uint8_t addr[16];

	for (size_t e = 0; e < sizeof events / sizeof *events; e++) {
		char *line;

		log_begin(events[e]);
		for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
			switch ((k + e) % 3) {
			case 0:
				log_u64(keys[k], UINT64_MAX - k);
				break;
			case 1:
				log_z(keys[k], "a line\nor two");
				break;
			case 2:
				log_addr(keys[k], addr, 0);
				break;
			}
		log_end();
		line = json_of(pending());
		ck_assert_ptr_nonnull(strstr(line, log_event_word(events[e])));
		ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
		for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
			char want[64];

			snprintf(want, sizeof want, ",\"%s\":", log_key_word(keys[k]));
			ck_assert_ptr_nonnull(strstr(line, want));
			/* Nor does it stand twice, the head included. */
			ck_assert_ptr_null(strstr(strstr(line, want) + 1, want));
		}
		forget();
	}
}
END_TEST

static void
say_one(void)
{
	static const uint8_t addr[16];

	log_begin(LOG_RECEIVED);
	log_id(1);
	log_z(LOGK_FROM, "a@b.example");
	log_addr(LOGK_CLIENT, addr, 1);
	log_end();
}

/* A row cut anywhere is no row, and nothing beyond its end is read (san). */
START_TEST(every_cut)
{
	struct slice all, in;
	struct log_record r;
	struct log_value v;

	say_one();
	all = pending();
	for (size_t n = 0; n < all.n; n++) {
		char *exact = malloc(n + 1);

		memcpy(exact, all.p, n);
		in = slice_of(exact, n);
		ck_assert(!log_record_next(&in, &r));
		ck_assert_uint_eq(in.n, n);
		free(exact);
	}
	/* Fields cut, in a row whose length says so: read up to the cut, then an end that is not
	 * one. */
	for (size_t n = LOG_HEAD; n < all.n; n++) {
		char *exact = malloc(n);
		uint32_t length = (uint32_t)n - 4;
		bool border = n == LOG_HEAD || n == LOG_HEAD + 10 || n == LOG_HEAD + 10 + 4 + 11;

		memcpy(exact, all.p, n);
		memcpy(exact, &length, 4);
		in = slice_of(exact, n);
		ck_assert(log_record_next(&in, &r));
		ck_assert(log_record_valid(&r) == border);
		while (log_value_next(&r.fields, &v))
			;
		ck_assert((r.fields.n == 0) == border);
		free(exact);
	}
}
END_TEST

/* head with an event and a length, then fields: valid or not. */
static const struct {
	uint32_t length; /* 0: as it is */
	uint16_t event;
	struct slice fields;
	bool row, valid;
} rows[] = {
	{ 0, LOG_DONE, SLICE_LIT(""), true, true },
	{ 0, LOG_DONE,
	    SLICE_LIT("\x01\x00"
		      "12345678"),
	    true, true },
	{ 0, 0, SLICE_LIT(""), true, false },
	{ 0, LOG_END, SLICE_LIT(""), true, false },
	{ 0, 19, SLICE_LIT(""), true, false }, /* a gap of the table */
	{ 0, 65535, SLICE_LIT(""), true, false },
	{ 0, LOG_DONE,
	    SLICE_LIT("\x00\x00"
		      "12345678"),
	    true, false }, /* no key 0 */
	{ 0, LOG_DONE,
	    SLICE_LIT("\xff\x00"
		      "12345678"),
	    true, false },
	{ 0, LOG_DONE,
	    SLICE_LIT("\x01\x03"
		      "12345678"),
	    true, false }, /* no kind 3 */
	{ 0, LOG_DONE, SLICE_LIT("\x01\xff"), true, false },
	{ 0, LOG_DONE,
	    SLICE_LIT("\x07\x01\x05\x00"
		      "1234"),
	    true, false }, /* text beyond the row */
	{ 0, LOG_DONE,
	    SLICE_LIT("\x07\x01\xff\xff"
		      "1234"),
	    true, false },
	{ 0, LOG_DONE,
	    SLICE_LIT("\x07\x01\x04\x00"
		      "1234"),
	    true, true },
	{ 0, LOG_DONE, SLICE_LIT("\x01\x01\x00\x00"), true,
	    true }, /* an id as text: shown as it is */
	{ 0, LOG_DONE,
	    SLICE_LIT("\x07\x00"
		      "12345678"),
	    true, true }, /* text as a number */
	{ 1, LOG_DONE, SLICE_LIT(""), false, false },
	{ LOG_HEAD - 5, LOG_DONE, SLICE_LIT(""), false, false },
	{ LOG_HEAD - 3, LOG_DONE, SLICE_LIT(""), false, false },
	{ UINT32_MAX, LOG_DONE, SLICE_LIT(""), false, false },
	{ UINT32_MAX - 3, LOG_DONE, SLICE_LIT(""), false, false },
};

START_TEST(malformed)
{
	char head[LOG_HEAD] = { 0 };
	uint32_t length =
	    rows[_i].length != 0 ? rows[_i].length : (uint32_t)(LOG_HEAD - 4 + rows[_i].fields.n);
	struct buf b = { 0 }, out = { 0 };
	struct log_record r;
	struct slice in;

	memcpy(head, &length, 4);
	memcpy(head + 4, &rows[_i].event, 2);
	buf_put(&b, head, sizeof head);
	buf_slice(&b, rows[_i].fields);
	in = slice_buf(&b);
	ck_assert(log_record_next(&in, &r) == rows[_i].row);
	if (rows[_i].row) {
		ck_assert(log_record_valid(&r) == rows[_i].valid);
		/* Even of a bad one nothing breaks. */
		log_format_json(&out, &r, SERVICE_NONE);
		log_format_text(&out, &r);
		ck_assert_ptr_nonnull(log_level_word(log_event_level(r.event)));
	}
	buf_fini(&b);
	buf_fini(&out);
}
END_TEST

START_TEST(times)
{
	static const struct {
		uint64_t us;
		const char *text;
	} at[] = {
		{ 0, "1970-01-01T00:00:00.000000Z" },
		{ 999999, "1970-01-01T00:00:00.999999Z" },
		{ UINT64_C(951782400000001), "2000-02-29T00:00:00.000001Z" },
		{ UINT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z" },
		{ UINT64_C(253402300800000000), "9999-12-31T23:59:59.999999Z" },
		{ UINT64_MAX, "9999-12-31T23:59:59.999999Z" },
	};

	for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
		struct log_record r = { .event = LOG_DONE, .wall_us = at[i].us };
		struct buf b = { 0 };

		log_format_json(&b, &r, SERVICE_QMGR);
		ck_assert(slice_is(slice_of(b.p + 9, 27), at[i].text));
		buf_fini(&b);
	}
}
END_TEST

START_TEST(seconds)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} shown[] = {
		{ 0, "0" },
		{ 4, "0" },
		{ 5, "0.01" },
		{ 30, "0.03" },
		{ 104, "0.1" },
		{ 105, "0.11" },
		{ 974, "0.97" },
		{ 994, "0.99" },
		{ 995, "1" },
		{ 1049, "1" },
		{ 1250, "1.3" },
		{ 9949, "9.9" },
		{ 9950, "10" },
		{ 86499, "86" },
		{ 432000000, "432000" },
		{ UINT64_MAX, "18446744073709552" },
	};

	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
		struct buf b = { 0 };

		log_seconds(&b, shown[i].ms);
		buf_putc(&b, '\0');
		ck_assert_str_eq(b.p, shown[i].text);
		buf_fini(&b);
	}
}
END_TEST

/* Texts are cut, events beyond the buffer's bound are counted, and nothing else is lost. */
START_TEST(bounds)
{
	static char text[LOG_TEXT_MAX + 10];
	unsigned said = 0, kept = 0;
	uint64_t lost;
	struct slice in;
	struct log_record r;
	struct log_value v;

	memset(text, 'x', sizeof text - 1);
	for (log_pending(&lost); lost < 5; log_pending(&lost), said++) {
		log_begin(LOG_NOTE);
		log_z(LOGK_TEXT, text);
		log_end();
	}
	in = log_pending(&lost);
	ck_assert_uint_le(in.n, LOG_BUFFER_MAX);
	while (log_record_next(&in, &r)) {
		ck_assert(log_value_next(&r.fields, &v) && v.s.n == LOG_TEXT_MAX);
		kept++;
	}
	ck_assert_uint_eq(in.n, 0);
	ck_assert_uint_eq(kept + lost, said);
	/* Sent in parts: the loss is told with the first, what came since stays. */
	in = pending();
	log_record_next(&in, &r);
	log_sent(pending().n - in.n, lost);
	say_one();
	in = log_pending(&lost);
	ck_assert_uint_eq(lost, 0);
	for (kept = 0; log_record_next(&in, &r);)
		kept++;
	ck_assert_uint_eq(kept + 5, said);
	ck_assert_int_eq(r.event, LOG_RECEIVED);
	forget();
	ck_assert_uint_eq(pending().n, 0);
}
END_TEST

/* A forked worker begins anew: what its parent had not sent yet is the parent's to send. */
START_TEST(a_new_process_starts_empty)
{
	uint64_t lost;

	say_one();
	log_open(SERVICE_DELIVER);
	ck_assert_uint_eq(log_pending(&lost).n, 0);
	ck_assert_uint_eq(lost, 0);
	say_one();
	ck_assert_ptr_nonnull(strstr(json_of(pending()), "received"));
}
END_TEST

/* Without a logd warnings and errors are told once, the rest only waits. */
START_TEST(to_stderr)
{
	char out[4096];
	int pipes[2], old = dup(2);
	ssize_t n;

	ck_assert_int_eq(pipe(pipes), 0);
	dup2(pipes[1], 2);
	say_one();
	log_trouble(2, "no %s", "luck");
	log_to_stderr();
	log_note("nothing of interest");
	log_begin(LOG_SANDBOX_OFF);
	log_end();
	log_to_stderr();
	log_to_stderr();
	dup2(old, 2);
	close(old);
	close(pipes[1]);
	n = read(pipes[0], out, sizeof out - 1);
	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	close(pipes[0]);
	ck_assert_ptr_nonnull(strstr(out, ": trouble text=\"no luck\" error=\"ENOENT\"\n"));
	ck_assert_ptr_nonnull(strstr(out, ": sandbox-off\n"));
	ck_assert_ptr_null(strstr(out, "received"));
	ck_assert_ptr_null(strstr(out, "note"));
	ck_assert_ptr_null(strstr(strstr(out, "sandbox-off") + 1, "sandbox-off"));
	ck_assert_ptr_null(strstr(strstr(out, "trouble") + 1, "trouble"));
	/* All of it still goes to logd. */
	ck_assert_ptr_nonnull(strstr(json_of(pending()), "received"));
}
END_TEST

START_TEST(no_number_twice)
{
	static const unsigned numbers[] = {
#define E(NAME, number, word, level, when) number,
		LOG_EVENTS(E)
#undef E
	};
	static const unsigned keys[] = {
#define K(NAME, number, word, how) number,
		LOG_KEYS(K)
#undef K
	};

	for (size_t i = 1; i < sizeof numbers / sizeof *numbers; i++)
		ck_assert_uint_gt(numbers[i], numbers[i - 1]);
	for (size_t i = 1; i < sizeof keys / sizeof *keys; i++)
		ck_assert_uint_gt(keys[i], keys[i - 1]);
	ck_assert_uint_le(LOGK_END, 256); /* a key is one byte */
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, every_kind_of_value);
	tcase_add_test(tc, every_row);
	tcase_add_test(tc, every_cut);
	tcase_add_loop_test(tc, malformed, 0, sizeof rows / sizeof *rows);
	tcase_add_test(tc, times);
	tcase_add_test(tc, seconds);
	tcase_add_test(tc, bounds);
	tcase_add_test(tc, a_new_process_starts_empty);
	tcase_add_test(tc, to_stderr);
	tcase_add_test(tc, no_number_twice);
}
CHECK_MAIN("log", cases)
