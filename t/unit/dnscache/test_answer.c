/* SPDX-License-Identifier: ISC */
#include "../check_main.h"
#include "packet.h"

#include "dnscache/answer.h"

enum { GOOD = 0x8180, GOOD_AD = 0x81a0, NX = 0x8183 };
#define LOOP10                                                                                   \
	"c.example 9 CNAME c1", "c1 9 CNAME c2", "c2 9 CNAME c3", "c3 9 CNAME c4",               \
	    "c4 9 CNAME c5", "c5 9 CNAME c6", "c6 9 CNAME c7", "c7 9 CNAME c8", "c8 9 CNAME c9", \
	    "c9 9 CNAME c10"

static const struct {
	const char *why; /* the row is there */
	unsigned flags;
	enum dns_type type;
	const char *const lines[16];
	enum answer_kind kind;
	unsigned records;
	uint32_t ttl_s;
	const char *cname;
} rows[] = {
	{ "plain", GOOD, DNS_A, { "a.example 60 A 192.0.2.1" }, ANSWER_OK, 1, 60, "" },
	{ "the shortest time", GOOD, DNS_A,
	    { "a.example 60 A 192.0.2.1", "a.example 30 A 192.0.2.2" }, ANSWER_OK, 2, 30, "" },
	{ "another case", GOOD, DNS_A, { "A.Example 60 A 192.0.2.1" }, ANSWER_OK, 1, 60, "" },
	{ "ad", GOOD_AD, DNS_AAAA, { "a.example 60 AAAA 2001:db8::1" }, ANSWER_OK, 1, 60, "" },
	{ "others' records are not looked at", GOOD, DNS_A,
	    { "b.example 5 A 192.0.2.6", "a.example 60 A 192.0.2.1", "a.example 5 TXT x" },
	    ANSWER_OK, 1, 60, "" },
	{ "only others' records", GOOD, DNS_A, { "b.example 5 A 192.0.2.6", "!example 9 SOA 5" },
	    ANSWER_NODATA, 0, 5, "" },
	{ "mx", GOOD, DNS_MX, { "a.example 60 MX 10 MX.example", "a.example 60 MX 0 ." }, ANSWER_OK,
	    2, 60, "" },
	{ "txt", GOOD, DNS_TXT, { "a.example 60 TXT abc def" }, ANSWER_OK, 1, 60, "" },
	{ "ptr", GOOD, DNS_PTR, { "a.example 60 PTR Host.Example" }, ANSWER_OK, 1, 60, "" },
	{ "a time beyond 2^31 is none (RFC 2181 8)", GOOD, DNS_A,
	    { "a.example 4294967295 A 192.0.2.1" }, ANSWER_OK, 1, 0, "" },
	{ "a chain", GOOD, DNS_A,
	    { "a.example 60 CNAME b.example", "b.example 20 CNAME C.example",
		"c.example 30 A 192.0.2.1" },
	    ANSWER_OK, 1, 20, "c.example" },
	{ "a chain in any order", GOOD, DNS_A,
	    { "c.example 30 A 192.0.2.1", "b.example 20 CNAME c.example",
		"a.example 60 CNAME b.example" },
	    ANSWER_OK, 1, 20, "c.example" },
	{ "the alias itself", GOOD, DNS_CNAME, { "a.example 60 CNAME b.example" }, ANSWER_OK, 1, 60,
	    "" },
	{ "a chain to nothing", NX, DNS_A, { "a.example 60 CNAME b.example", "!example 40 SOA 15" },
	    ANSWER_NXDOMAIN, 0, 15, "b.example" },
	{ "a chain that ends within", GOOD, DNS_A,
	    { "a.example 60 CNAME b.example", "!example 40 SOA 15" }, ANSWER_NODATA, 0, 15,
	    "b.example" },
	{ "a chain to be followed", GOOD, DNS_A, { "a.example 60 CNAME b.other" }, ANSWER_FOLLOW, 0,
	    60, "b.other" },
	{ "a loop", GOOD, DNS_A, { "a.example 60 CNAME b.other", "b.other 60 CNAME a.example" },
	    ANSWER_UNUSABLE, 0, 60, "*" },
	{ "to itself", GOOD, DNS_A, { "a.example 60 CNAME a.example" }, ANSWER_UNUSABLE, 0, 60,
	    "*" },
	{ "an alias of the root", GOOD, DNS_A, { "a.example 60 CNAME ." }, ANSWER_UNUSABLE, 0, 60,
	    "*" },
	{ "nothing there", NX, DNS_A, { "!example 40 SOA 600" }, ANSWER_NXDOMAIN, 0, 40, "" },
	{ "nothing there, nobody says how long", NX, DNS_A, { NULL }, ANSWER_NXDOMAIN, 0, 0, "" },
	{ "none of these", GOOD, DNS_A, { "!. 40 SOA 600" }, ANSWER_NODATA, 0, 40, "" },
	{ "none of these, no SOA", GOOD, DNS_A, { NULL }, ANSWER_NODATA, 0, 0, "" },
	{ "the SOA of somebody else", GOOD, DNS_A, { "!other 40 SOA 600" }, ANSWER_NODATA, 0, 0,
	    "" },
	{ "the SOA of half a label", GOOD, DNS_A, { "!xample 40 SOA 600" }, ANSWER_NODATA, 0, 0,
	    "" },
	{ "a referral", GOOD, DNS_A, { "!example 40 NS ns.example" }, ANSWER_REFUSED, 0, 0, "" },
	{ "servfail", 0x8182, DNS_A, { NULL }, ANSWER_SERVFAIL, 0, 0, "" },
	{ "refused", 0x8185, DNS_A, { NULL }, ANSWER_REFUSED, 0, 0, "" },
	{ "formerr", 0x8181, DNS_A, { NULL }, ANSWER_REFUSED, 0, 0, "" },
	{ "no answer", 0x0100, DNS_A, { "a.example 60 A 192.0.2.1" }, ANSWER_BAD, 0, 0, "" },
	{ "another opcode", 0x8980, DNS_A, { "a.example 60 A 192.0.2.1" }, ANSWER_BAD, 0, 0, "" },
	{ "cut short", 0x8380, DNS_A, { "a.example 60 A 192.0.2.1" }, ANSWER_BAD, 0, 0, "" },
	{ "not there, with records", NX, DNS_A, { "a.example 60 A 192.0.2.1" }, ANSWER_BAD, 0, 60,
	    "" },
	{ "A of 3 bytes", GOOD, DNS_A, { "a.example 60 RAW:1 c00002" }, ANSWER_BAD, 0, 0, "" },
	{ "A of 5 bytes", GOOD, DNS_A, { "a.example 60 RAW:1 c000020101" }, ANSWER_BAD, 0, 0, "" },
	{ "AAAA of 4", GOOD, DNS_AAAA, { "a.example 60 RAW:28 c0000201" }, ANSWER_BAD, 0, 0, "" },
	{ "MX of 2", GOOD, DNS_MX, { "a.example 60 RAW:15 0001" }, ANSWER_BAD, 0, 0, "" },
	{ "MX, name not ended", GOOD, DNS_MX, { "a.example 60 RAW:15 00010161" }, ANSWER_BAD, 0, 0,
	    "" },
	{ "MX, bytes behind the name", GOOD, DNS_MX, { "a.example 60 RAW:15 000101610062" },
	    ANSWER_BAD, 0, 0, "" },
	{ "MX, a label of 64", GOOD, DNS_MX, { "a.example 60 RAW:15 000140" }, ANSWER_BAD, 0, 0,
	    "" },
	{ "PTR to its own pointer", GOOD, DNS_PTR, { "a.example 60 RAW:12 c030" }, ANSWER_BAD, 0, 0,
	    "" },
	{ "PTR forwards", GOOD, DNS_PTR, { "a.example 60 RAW:12 c0ff" }, ANSWER_BAD, 0, 0, "" },
	{ "PTR into the header", GOOD, DNS_PTR, { "a.example 60 RAW:12 c000" }, ANSWER_BAD, 0, 0,
	    "" },
	{ "PTR to the question", GOOD, DNS_PTR, { "a.example 60 RAW:12 c00c" }, ANSWER_OK, 1, 60,
	    "" },
	{ "PTR, half a pointer", GOOD, DNS_PTR, { "a.example 60 RAW:12 c0" }, ANSWER_BAD, 0, 0,
	    "" },
	{ "TXT without a string", GOOD, DNS_TXT, { "a.example 60 RAW:16 " }, ANSWER_BAD, 0, 0, "" },
	{ "TXT, string too long", GOOD, DNS_TXT, { "a.example 60 RAW:16 0561" }, ANSWER_BAD, 0, 0,
	    "" },
	{ "TXT of an empty string", GOOD, DNS_TXT, { "a.example 60 RAW:16 00" }, ANSWER_OK, 1, 60,
	    "" },
	{ "a name no host has", GOOD, DNS_MX, { "a.example 60 MX 10 a\\7b.example" },
	    ANSWER_UNUSABLE, 0, 60, "" },
	{ "a name no host has, and one", GOOD, DNS_MX,
	    { "a.example 60 MX 10 a\\7b.example", "a.example 60 MX 20 mx.example" }, ANSWER_OK, 1,
	    60, "" },
	{ "an alias no host has", GOOD, DNS_A, { "a.example 60 CNAME a\\0b.example" },
	    ANSWER_UNUSABLE, 0, 60, "*" },
	{ "SOA cut", NX, DNS_A, { "!example 40 RAW:6 0000ff" }, ANSWER_BAD, 0, 0, "" },
};

static unsigned
count(const struct answer *a, enum dns_type type)
{
	struct slice rest = slice_buf(&a->records);
	struct dns_record r;
	unsigned n = 0;
	int rc;

	while ((rc = dns_record_next(&rest, type, &r)) == 1)
		n++;
	ck_assert_int_eq(rc, 0);
	return n;
}

START_TEST(answer_is_read)
{
	struct buf b = { 0 };
	struct answer a = { .kind = ANSWER_BAD };

	packet_of(&b, rows[_i].flags, "a.example", rows[_i].type, rows[_i].lines);
	answer_read(slice_buf(&b), "a.example", rows[_i].type, &a);
	ck_assert_msg(a.kind == rows[_i].kind, "%s: %u, %s", rows[_i].why, a.kind, a.why);
	ck_assert_msg(count(&a, rows[_i].type) == rows[_i].records, "%s", rows[_i].why);
	if (a.kind != ANSWER_BAD && a.kind != ANSWER_UNUSABLE)
		ck_assert_msg(
		    a.ttl_s == rows[_i].ttl_s && a.has_ttl == (a.ttl_s > 0 || a.kind == ANSWER_OK),
		    "%s: %u", rows[_i].why, a.ttl_s);
	if (rows[_i].cname[0] != '*')
		ck_assert_str_eq(a.cname, rows[_i].cname);
	ck_assert_uint_eq(a.ad, rows[_i].flags == GOOD_AD);
	ck_assert((a.why != NULL) == (a.kind >= ANSWER_UNUSABLE));
	answer_fini(&a);
	buf_fini(&b);
}
END_TEST

/* Each cut of each answer is refused, or means the same as none: nothing is read beyond its end. */
START_TEST(cut_answer_is_refused)
{
	struct buf b = { 0 };

	packet_of(&b, rows[_i].flags, "a.example", rows[_i].type, rows[_i].lines);
	for (size_t n = 0; n < b.n; n++) {
		char *copy = malloc(n + 1);
		struct answer a = { .kind = ANSWER_OK };

		answer_read(slice_of(memcpy(copy, b.p, n), n), "a.example", rows[_i].type, &a);
		ck_assert_msg(a.kind == ANSWER_BAD, "%s cut at %zu", rows[_i].why, n);
		answer_fini(&a);
		free(copy);
	}
	buf_putc(&b, 'x');
	struct answer a = { .kind = ANSWER_OK };
	answer_read(slice_buf(&b), "a.example", rows[_i].type, &a);
	ck_assert_msg(a.kind == ANSWER_BAD, "%s and a byte", rows[_i].why);
	answer_fini(&a);
	buf_fini(&b);
}
END_TEST

START_TEST(another_question_is_no_answer)
{
	static const char *const lines[] = { "a.example 60 A 192.0.2.1", NULL };
	struct buf b = { 0 };
	struct answer a = { .kind = ANSWER_OK };

	packet_of(&b, GOOD, "a.example", DNS_A, lines);
	answer_read(slice_buf(&b), "b.example", DNS_A, &a);
	ck_assert_int_eq(a.kind, ANSWER_BAD);
	answer_read(slice_buf(&b), "a.example", DNS_MX, &a);
	ck_assert_int_eq(a.kind, ANSWER_BAD);
	answer_read(slice_buf(&b), "a.example", DNS_A, &a); /* used before */
	ck_assert_int_eq(a.kind, ANSWER_OK);
	b.p[5] = 0; /* no question */
	answer_read(slice_buf(&b), "a.example", DNS_A, &a);
	ck_assert_int_eq(a.kind, ANSWER_BAD);
	b.p[5] = 1;
	b.p[7] = 2; /* more records than there are */
	answer_read(slice_buf(&b), "a.example", DNS_A, &a);
	ck_assert_int_eq(a.kind, ANSWER_BAD);
	b.p[6] = b.p[7] = (char)0xff; /* and absurdly more */
	answer_read(slice_buf(&b), "a.example", DNS_A, &a);
	ck_assert_int_eq(a.kind, ANSWER_BAD);
	answer_fini(&a);
	buf_fini(&b);
}
END_TEST

START_TEST(chains_are_bounded)
{
	static const char *const ten[] = { LOOP10, "c10 9 A 192.0.2.1", NULL };
	static const char *const eleven[] = { LOOP10, "c10 9 CNAME c11", "c11 9 A 192.0.2.1",
		NULL };
	struct buf b = { 0 };
	struct answer a = { .kind = ANSWER_BAD };

	packet_of(&b, GOOD, "c.example", DNS_A, ten);
	answer_read(slice_buf(&b), "c.example", DNS_A, &a);
	ck_assert(a.kind == ANSWER_OK && strcmp(a.cname, "c10") == 0);
	buf_reset(&b);
	packet_of(&b, GOOD, "c.example", DNS_A, eleven);
	answer_read(slice_buf(&b), "c.example", DNS_A, &a);
	ck_assert_int_eq(a.kind, ANSWER_UNUSABLE);
	answer_fini(&a);
	buf_fini(&b);
}
END_TEST

START_TEST(what_is_beyond_is_left_out)
{
	const char *lines[102] = { NULL };
	char text[101][600];
	int used;
	struct buf b = { 0 };
	struct answer a = { .kind = ANSWER_BAD };

	for (int i = 0; i < 100; i++) {
		snprintf(text[i], sizeof text[i], "a.example 60 A 192.0.2.%d", i);
		lines[i] = text[i];
	}
	packet_of(&b, GOOD, "a.example", DNS_A, lines);
	answer_read(slice_buf(&b), "a.example", DNS_A, &a);
	ck_assert(a.kind == ANSWER_OK && count(&a, DNS_A) == DNS_RECORDS_MAX);
	buf_reset(&b);
	/* A text that is longer than we take. */
	used = snprintf(text[0], sizeof text[0], "a.example 60 TXT");
	for (int i = 0; i < 41; i++)
		used += snprintf(text[0] + used, sizeof text[0] - (size_t)used, " 1234567890");
	lines[0] = text[0];
	lines[1] = NULL;
	packet_of(&b, GOOD, "a.example", DNS_TXT, lines);
	answer_read(slice_buf(&b), "a.example", DNS_TXT, &a);
	ck_assert(a.kind == ANSWER_OK && count(&a, DNS_TXT) == 1 && a.records.n == 412);
	answer_fini(&a);
	buf_fini(&b);
}
END_TEST

START_TEST(long_text_is_not_taken)
{
	struct buf b = { 0 };
	struct answer a = { .kind = ANSWER_BAD };
	size_t at;

	packet_of(&b, GOOD, "a.example", DNS_TXT, NULL);
	b.p[7] = 1;
	packet_name(&b, "a.example");
	packet_u16(&b, DNS_TXT);
	packet_u16(&b, 1);
	packet_u16(&b, 0);
	packet_u16(&b, 60);
	packet_u16(&b, 17 * 256);
	at = b.n;
	memset(buf_room(&b, 17 * 256), 'x', 17 * 256);
	b.n += 17 * 256;
	for (int i = 0; i < 17; i++)
		b.p[at + i * 256U] = (char)255;
	answer_read(slice_buf(&b), "a.example", DNS_TXT, &a);
	ck_assert_int_eq(a.kind, ANSWER_UNUSABLE);
	answer_fini(&a);
	buf_fini(&b);
}
END_TEST

static void
put_record(struct buf *b, size_t owner, unsigned type, unsigned n)
{
	packet_u16(b, 0xc000 | (unsigned)owner);
	packet_u16(b, type);
	packet_u16(b, 1);
	packet_u16(b, 0);
	packet_u16(b, 60);
	packet_u16(b, n);
}

/* Names that jump back and back: as often as one with 127 labels may, and thousands of times. */
START_TEST(jumps_are_bounded)
{
	struct buf b = { 0 };
	struct answer a = { .kind = ANSWER_BAD };
	size_t last;

	for (unsigned n = 125; n <= 8000; n += 7875) {
		unsigned labels = n == 125;

		buf_reset(&b);
		packet_of(&b, GOOD, "a.example", DNS_A, NULL);
		put_record(&b, 12, 99, 1 + n * (2 + 2 * labels));
		last = b.n;
		buf_putc(&b, 0);
		for (unsigned i = 0; i < n; i++) {
			size_t at = b.n;

			if (labels > 0)
				buf_put(&b, "\1x", 2);
			packet_u16(&b, 0xc000 | (unsigned)last);
			last = at;
		}
		for (unsigned i = 0; i < 3000; i++)
			put_record(&b, last, 99, 0);
		b.p[6] = (char)(3001 >> 8);
		b.p[7] = (char)(3001 & 0xff);
		answer_read(slice_buf(&b), "a.example", DNS_A, &a);
		ck_assert_int_eq(a.kind, labels > 0 ? ANSWER_NODATA : ANSWER_BAD);
	}
	answer_fini(&a);
	buf_fini(&b);
}
END_TEST

START_TEST(questions)
{
	static const char want[] = "\x12\x34\x01\x20\0\1\0\0\0\0\0\0\1a\7example\0\0\x0f\0\1";
	struct buf b = { 0 };

	ck_assert(answer_question_put(&b, 0x1234, "a.example", DNS_MX));
	ck_assert(slice_eq(slice_buf(&b), SLICE_LIT(want)));
	buf_reset(&b);
	ck_assert(!answer_question_put(&b, 1, "a..example", DNS_A));
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, answer_is_read, 0, sizeof rows / sizeof *rows);
	tcase_add_loop_test(tc, cut_answer_is_refused, 0, sizeof rows / sizeof *rows);
	tcase_add_test(tc, another_question_is_no_answer);
	tcase_add_test(tc, chains_are_bounded);
	tcase_add_test(tc, what_is_beyond_is_left_out);
	tcase_add_test(tc, jumps_are_bounded);
	tcase_add_test(tc, long_text_is_not_taken);
	tcase_add_test(tc, questions);
}
CHECK_MAIN("answer", cases)
