/* SPDX-License-Identifier: ISC */
#include "mail/encoded.h"

#include "t/unit/check_main.h"

static const struct {
	const char *in, *out;
} texts[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "=?utf-8?Q?a=C3=A9?=", "a\xc3\xa9" },
	{ "=?ISO-8859-1?q?J=f8rn_S?= <x>", "J\xc3\xb8rn S <x>" },
	{ "=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore" },
	{ "=?UTF-8?B?VGjDrXM=?=", "Th\xc3\xads" },
	{ "=?UTF-8?b?VGjDrXM?=", "Th\xc3\xads" }, /* without padding */
	/* RFC 2047 section 8 */
	{ "(=?ISO-8859-1?Q?a?=)", "(a)" },
	{ "=?ISO-8859-1?Q?a?= b", "a b" },
	{ "=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a_b?=", "a b" },
	{ "=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a =?ISO-8859-2?Q?_b?=" },
	{ "x=?utf-8?q?y?=z", "xyz" },
	{ "=?utf-8?q?"
	  "?=x",
	    "x" },
	{ "=?utf-8?q?a b?=", "a b" },
	{ "=?utf-8?q?a?= ", "a " },
	{ "a =?utf-8?q?b?=", "a b" },
	/* none */
	{ "=?", "=?" },
	{ "=?utf-8", "=?utf-8" },
	{ "=?utf-8?", "=?utf-8?" },
	{ "=?utf-8?q", "=?utf-8?q" },
	{ "=?utf-8?q?", "=?utf-8?q?" },
	{ "=?utf-8?q?a", "=?utf-8?q?a" },
	{ "=?utf-8?q?a?", "=?utf-8?q?a?" },
	{ "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
	{ "=??q?a?=", "=??q?a?=" },
	{ "=?utf 8?q?a?=", "=?utf 8?q?a?=" },
	{ "=?utf-8?q?=C3?=", "=?utf-8?q?=C3?=" }, /* no UTF-8 */
	{ "=?utf-8?q?=?=", "=?utf-8?q?=?=" },
	{ "=?utf-8?q?=4?=", "=?utf-8?q?=4?=" },
	{ "=?utf-8?b?a*b?=", "=?utf-8?b?a*b?=" },
	{ "=?utf-8?q?a=0D=0Ab?=", "=?utf-8?q?a=0D=0Ab?=" }, /* no line ends */
	{ "=?utf-8?q?=00?=", "=?utf-8?q?=00?=" },
	{ "=?utf-8?q?a?= =?", "a =?" },
};

START_TEST(words_are_decoded)
{
	struct buf out = { 0 };

	encoded_decode(&out, slice_z(texts[_i].in));
	ck_assert_msg(slice_is(slice_buf(&out), texts[_i].out), "%s: %.*s", texts[_i].in,
	    SLICE_ARG(slice_buf(&out)));
	buf_fini(&out);
}
END_TEST

/* Work grows with the length, not with its square. */
START_TEST(floods_are_read_at_once)
{
	static const char *const floods[] = { "=?", "=?x?q?y", "=?utf-8?q?a?= ", " ",
		"=?utf-8?q?=?=" };
	struct buf in = { 0 }, out = { 0 };

	for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
		buf_reset(&in);
		buf_reset(&out);
		while (in.n < 256 * 1024)
			buf_puts(&in, floods[i]);
		encoded_decode(&out, slice_buf(&in));
		ck_assert_uint_le(out.n, in.n);
	}
	buf_fini(&in);
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, words_are_decoded, 0, sizeof texts / sizeof *texts);
	tcase_add_test(tc, floods_are_read_at_once);
}
CHECK_MAIN("encoded", cases)
