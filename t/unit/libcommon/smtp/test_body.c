/* SPDX-License-Identifier: ISC */
#include "smtp/body.h"

#include "t/unit/check_main.h"

/*
 * The reference: a byte at a time over the whole stream, in the words of RFC 5321. Returns where
 * the data ended (behind the last LF), or 0; content and what was seen go out.
 */
static size_t
plain_decode(struct slice in, struct buf *out, unsigned *seen)
{
	size_t line = 0; /* where the line under way began */

	*seen = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		bool first = i == line;
		bool crlf = c == '\n' && i > line && in.p[i - 1] == '\r';

		if (crlf && i - line == 2 && in.p[line] == '.') {
			out->n--; /* the CR */
			return i + 1;
		}
		if (first && c == '.')
			continue; /* stuffed, or the end */
		if (c == '.' && i == line + 1 && in.p[line] == '.')
			*seen |= BODY_HAS_DOT;
		if (c == '\n' && !crlf)
			*seen |= BODY_BARE_LF;
		if (c == '\0')
			*seen |= BODY_NUL;
		if ((unsigned char)c >= 0x80)
			*seen |= BODY_EIGHT_BIT;
		buf_putc(out, c);
		if (crlf) {
			size_t from = line + (in.p[line] == '.');

			if (i - 1 - from > BODY_LINE_MAX)
				*seen |= BODY_LONG_LINE;
			line = i + 1;
		}
	}
	return 0;
}

/* The CRs of the content without LF. */
static bool
has_bare_cr(struct slice content)
{
	for (size_t i = 0; i + 1 < content.n; i++)
		if (content.p[i] == '\r' && content.p[i + 1] != '\n')
			return true;
	return false;
}

/* Feeds the pieces between the cuts, each in memory of its own size. */
static bool
feed(struct body_decoder *d, struct slice in, size_t cut, size_t *used, struct buf *out)
{
	struct slice pieces[2] = { slice_head(in, cut), slice_from(in, cut) };
	bool done = false;

	*used = 0;
	for (int i = 0; i < 2 && !done; i++) {
		char *copy = malloc(pieces[i].n + 1);
		size_t took;

		memcpy(copy, pieces[i].p, pieces[i].n);
		done = body_decode(d, slice_of(copy, pieces[i].n), &took, out);
		if (!done && took != pieces[i].n)
			ck_abort_msg("input left over without an end");
		*used += took;
		free(copy);
	}
	return done;
}

static void
compare(struct slice in, size_t cut)
{
	struct body_decoder d = { 0 };
	static struct buf want, got; /* kept: there are many calls */
	unsigned seen;
	size_t used, end;
	bool done, held;

	buf_reset(&want);
	buf_reset(&got);
	end = plain_decode(in, &want, &seen);
	done = feed(&d, in, cut, &used, &got);
	/* Without the end, the last CR may be held back. */
	held = !done && want.n == got.n + 1 && want.p[want.n - 1] == '\r';
	if (has_bare_cr(slice_buf(&want)))
		seen |= BODY_BARE_CR;
	if (done != (end != 0) || used != (done ? end : in.n) || d.seen != seen ||
	    d.bytes != got.n ||
	    !slice_eq(slice_head(slice_buf(&want), want.n - held), slice_buf(&got)) ||
	    (done && body_look(slice_buf(&got)) != seen))
		ck_abort_msg(
		    "\"%.*s\" cut at %zu: seen %x, not %x", SLICE_ARG(in), cut, d.seen, seen);
}

/* The same bytes by BDAT, in two chunks: they are the content, but for a last line that is completed. */
static void
compare_chunks(struct slice in, size_t cut)
{
	struct body_decoder d = { 0 };
	static struct buf got;
	unsigned seen = 0;
	size_t line = 0;
	bool whole;

	buf_reset(&got);
	body_take(&d, slice_head(in, cut), &got);
	body_take(&d, slice_from(in, cut), &got);
	body_take_end(&d, &got);
	for (size_t i = 0; i < in.n; i++) {
		bool lf = i + 1 < in.n && in.p[i + 1] == '\n', cr = i > 0 && in.p[i - 1] == '\r';

		seen |= in.p[i] == '\r' && !lf ? BODY_BARE_CR : 0;
		seen |= in.p[i] == '\n' && !cr ? BODY_BARE_LF : 0;
		seen |= in.p[i] == '.' && i == line ? BODY_HAS_DOT : 0;
		seen |= in.p[i] == '\0' ? BODY_NUL : 0;
		seen |= (unsigned char)in.p[i] >= 0x80 ? BODY_EIGHT_BIT : 0;
		if (in.p[i] == '\n' && cr)
			line = i + 1;
	}
	whole = line == in.n;
	if (d.seen != seen || d.bytes != got.n || got.n != in.n + (whole ? 0 : 2) ||
	    !slice_eq(slice_head(slice_buf(&got), in.n), in) ||
	    (!whole && !slice_is(slice_from(slice_buf(&got), in.n), "\r\n")) ||
	    body_look(slice_buf(&got)) != seen)
		ck_abort_msg("chunks \"%.*s\" cut at %zu: seen %x, not %x", SLICE_ARG(in), cut,
		    d.seen, seen);
}

/* All 21,845 strings up to seven bytes over CR, LF, dot, x, with every cut. */
START_TEST(only_crlf_dot_crlf_ends_the_data)
{
	static const char letters[] = "\r\n.x";
	char text[8];
	unsigned count = 0;

	for (size_t n = 0; n <= 7; n++)
		for (unsigned k = 0; k < 1U << 2 * n; k++) {
			for (size_t i = 0; i < n; i++)
				text[i] = letters[k >> 2 * i & 3];
			for (size_t cut = 0; cut <= n; cut++) {
				compare(slice_of(text, n), cut);
				compare_chunks(slice_of(text, n), cut);
			}
			count++;
		}
	ck_assert_uint_eq(count, 21845);
}
END_TEST

/* Longer ones, by chance but always the same, with NUL and eight bits, cut anywhere. */
START_TEST(longer_streams_agree_with_the_reference)
{
	static const char letters[] = "\r\n.x\r\n\r\n..\0\xc3 ab";
	uint64_t seed = 0x9e3779b97f4a7c15U;
	char text[64];

	for (int round = 0; round < 30000; round++) {
		size_t n = 0;

		seed = seed * 6364136223846793005U + 1442695040888963407U;
		for (uint64_t bits = seed; n < sizeof text && n < (seed >> 58); n++) {
			text[n] = letters[bits >> 33 & 15];
			bits = bits * 6364136223846793005U + 1442695040888963407U;
		}
		compare(slice_of(text, n), n == 0 ? 0 : (size_t)(seed >> 20) % n);
		compare_chunks(slice_of(text, n), n == 0 ? 0 : (size_t)(seed >> 20) % n);
	}
}
END_TEST

static const struct {
	const char *in, *content; /* content NULL: no end yet */
	unsigned seen;
	const char *rest;
} streams[] = {
	{ ".\r\n", "", 0, "" },
	{ ".\r\nQUIT\r\n", "", 0, "QUIT\r\n" },
	{ "\r\n.\r\n", "\r\n", 0, "" },
	{ "abc\r\n..def\r\n.\r\nQUIT\r\n", "abc\r\n.def\r\n", BODY_HAS_DOT, "QUIT\r\n" },
	{ "..\r\n.\r\n", ".\r\n", BODY_HAS_DOT, "" },
	{ ".x\r\n.\r\n", "x\r\n", 0, "" },
	{ "\xe9\r\n.\r\n", "\xe9\r\n", BODY_EIGHT_BIT, "" },
	{ "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", BODY_BARE_LF, "" },
	{ "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", BODY_BARE_CR, "" },
	{ "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", BODY_BARE_LF, "" },
	{ "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", BODY_BARE_CR, "" },
	{ "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", BODY_BARE_LF, "" },
	{ "a\r\r\n.\r\n", "a\r\r\n", BODY_BARE_CR, "" },
	{ "\n", NULL, BODY_BARE_LF, "" },
	{ "abc\r\n.\r", NULL, 0, "" },
	{ "abc.\r\n", NULL, 0, "" },
};

START_TEST(streams_are_decoded)
{
	struct body_decoder d = { 0 };
	struct slice in = slice_z(streams[_i].in);
	struct buf out = { 0 };
	size_t used;

	ck_assert(body_decode(&d, in, &used, &out) == (streams[_i].content != NULL));
	ck_assert_uint_eq(d.seen, streams[_i].seen);
	ck_assert(slice_is(slice_from(in, used), streams[_i].rest));
	if (streams[_i].content != NULL)
		ck_assert(slice_is(slice_buf(&out), streams[_i].content));
	buf_fini(&out);
}
END_TEST

START_TEST(nul_and_long_lines_are_seen)
{
	struct body_decoder d = { 0 };
	char line[BODY_LINE_MAX + 8];
	size_t used;

	ck_assert(body_decode(&d, SLICE_LIT("a\0b\r\n.\0\r\n.\r\n"), &used, NULL));
	ck_assert_uint_eq(d.seen, BODY_NUL);
	ck_assert_uint_eq(d.bytes, 8);
	memset(line, 'x', sizeof line);
	for (size_t n = BODY_LINE_MAX; n <= BODY_LINE_MAX + 1; n++)
		for (size_t dot = 0; dot < 2; dot++) {
			d = (struct body_decoder){ 0 };
			line[0] = dot ? '.' : 'x';
			memcpy(line + dot + n, "\r\n", 2);
			ck_assert(!body_decode(&d, slice_of(line, dot + n + 2), &used, NULL));
			ck_assert_uint_eq(d.seen, n > BODY_LINE_MAX ? BODY_LONG_LINE : 0);
			memset(line, 'x', sizeof line);
		}
}
END_TEST

static const struct {
	const char *content, *wire;
} encoded[] = {
	{ "", ".\r\n" },
	{ "a\r\n", "a\r\n.\r\n" },
	{ "a", "a\r\n.\r\n" },
	{ ".a\r\n.\r\n..\r\n", "..a\r\n..\r\n...\r\n.\r\n" },
	{ "a\nb\rc\r\n", "a\r\nb\r\nc\r\n.\r\n" },
	{ "a\n.\nb", "a\r\n..\r\nb\r\n.\r\n" },
	{ "a\r.\rb", "a\r\n..\r\nb\r\n.\r\n" },
	{ "a\r", "a\r\n.\r\n" },
	{ "a\r\r\n", "a\r\n\r\n.\r\n" },
	{ "a\n\r", "a\r\n\r\n.\r\n" },
	{ "\r\n", "\r\n.\r\n" },
};

START_TEST(content_is_encoded_at_every_split)
{
	struct slice in = slice_z(encoded[_i].content);

	for (size_t cut = 0; cut <= in.n; cut++) {
		struct body_encoder e = { 0 };
		struct buf out = { 0 };

		body_encode(&e, slice_head(in, cut), &out);
		body_encode(&e, slice_from(in, cut), &out);
		body_encode_end(&e, &out);
		ck_assert_msg(
		    slice_is(slice_buf(&out), encoded[_i].wire), "%s", encoded[_i].content);
		buf_fini(&out);
	}
}
END_TEST

/* Clean on the wire, and ended exactly once: what a strict server decodes is well-formed. */
static void
check_wire(struct slice wire)
{
	struct body_decoder d = { 0 };
	size_t used;

	ck_assert(body_decode(&d, wire, &used, NULL));
	ck_assert_uint_eq(used, wire.n);
	ck_assert_uint_eq(d.seen & (BODY_MALFORMED | BODY_LONG_LINE), 0);
}

START_TEST(whatever_goes_in_comes_out_clean)
{
	static const char letters[] = "\r\n.x\0\xc3\xa9\n";
	char text[8];

	for (size_t n = 0; n <= 5; n++)
		for (unsigned k = 0; k < 1U << 3 * n; k++) {
			struct body_encoder e = { 0 };
			struct buf out = { 0 };

			for (size_t i = 0; i < n; i++)
				text[i] = letters[k >> 3 * i & 7];
			body_encode(&e, slice_of(text, n / 2), &out);
			body_encode(&e, slice_of(text + n / 2, n - n / 2), &out);
			body_encode_end(&e, &out);
			check_wire(slice_buf(&out));
			buf_fini(&out);
		}
}
END_TEST

/* Lines are folded, and no character is torn, wherever the pieces end and the line begins. */
START_TEST(long_lines_are_folded_between_characters)
{
	static const char *const chars[] = { "x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x86" };
	struct slice c = slice_z(chars[_i % 4]);
	size_t shift = (size_t)_i / 4, piece = 1 + (size_t)_i % 7;
	struct buf in = { 0 }, out = { 0 }, back = { 0 };
	struct body_encoder e = { 0 };

	for (size_t i = 0; i < shift; i++)
		buf_putc(&in, '.');
	while (in.n < 5000)
		buf_slice(&in, c);
	for (size_t at = 0; at < in.n; at += piece)
		body_encode(&e, slice_head(slice_from(slice_buf(&in), at), piece), &out);
	body_encode_end(&e, &out);
	check_wire(slice_buf(&out));
	for (size_t i = shift > 0; i < out.n - 5; i++)
		if (out.p[i] == '\r') {
			ck_assert(i + 3 < out.n && out.p[i + 1] == '\n' && out.p[i + 2] == ' ');
			ck_assert(((unsigned char)out.p[i + 3] & 0xc0) != 0x80);
			ck_assert_uint_ge(i, BODY_LINE_MAX - 3);
			i += 2;
		} else {
			buf_putc(&back, out.p[i]);
		}
	ck_assert(slice_eq(slice_buf(&in), slice_buf(&back)));
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&back);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, only_crlf_dot_crlf_ends_the_data);
	tcase_add_test(tc, longer_streams_agree_with_the_reference);
	tcase_add_loop_test(tc, streams_are_decoded, 0, sizeof streams / sizeof *streams);
	tcase_add_test(tc, nul_and_long_lines_are_seen);
	tcase_add_loop_test(
	    tc, content_is_encoded_at_every_split, 0, sizeof encoded / sizeof *encoded);
	tcase_add_test(tc, whatever_goes_in_comes_out_clean);
	tcase_add_loop_test(tc, long_lines_are_folded_between_characters, 0, 32);
}
CHECK_MAIN("body", cases)
