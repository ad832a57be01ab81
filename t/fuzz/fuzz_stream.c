/* SPDX-License-Identifier: ISC */
/*
 * The codecs that take bytes as they come: the data of a message both ways, and a server's replies.
 * The first two bytes say where the input is cut; cut or whole, the outcome must be the same.
 */
#include "smtp/body.h"
#include "smtp/ehlo.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

static bool
decode(struct slice in, size_t cut, struct body_decoder *d, size_t *used, struct buf *out)
{
	size_t more;

	*d = (struct body_decoder){ 0 };
	if (body_decode(d, slice_head(in, cut), used, out))
		return true;
	demand(*used == cut);
	if (body_decode(d, slice_from(in, cut), &more, out)) {
		*used += more;
		return true;
	}
	*used += more;
	return false;
}

static void
check_decode(struct slice in, size_t cut)
{
	struct body_decoder a, b;
	struct buf one = { 0 }, two = { 0 };
	size_t used, used_cut;

	demand(decode(in, in.n, &a, &used, &one) == decode(in, cut, &b, &used_cut, &two));
	demand(used == used_cut && a.seen == b.seen && a.bytes == one.n);
	demand(slice_eq(slice_buf(&one), slice_buf(&two)));
	if (a.done)
		demand(used >= 3 && memcmp(in.p + used - 3, ".\r\n", 3) == 0 &&
		       (used == 3 || memcmp(in.p + used - 5, "\r\n", 2) == 0));
	buf_fini(&one);
	buf_fini(&two);
}

static void
check_encode(struct slice in, size_t cut)
{
	struct body_encoder a = { 0 }, b = { 0 };
	struct body_decoder d;
	struct buf one = { 0 }, two = { 0 };
	size_t used;

	body_encode(&a, in, &one);
	body_encode_end(&a, &one);
	body_encode(&b, slice_head(in, cut), &two);
	body_encode(&b, slice_from(in, cut), &two);
	body_encode_end(&b, &two);
	demand(slice_eq(slice_buf(&one), slice_buf(&two)));
	demand(decode(slice_buf(&one), one.n, &d, &used, NULL) && used == one.n);
	demand((d.seen & (BODY_MALFORMED | BODY_LONG_LINE)) == 0);
	buf_fini(&one);
	buf_fini(&two);
}

static void
check_reply(struct slice in, size_t cut)
{
	struct reply_parser p = { 0 }, q = { 0 };
	struct reply_in one, two;
	struct ehlo ehlo;
	size_t used, first, more = 0;
	enum reply_step whole = reply_feed(&p, in, &used, &one);
	enum reply_step parts = reply_feed(&q, slice_head(in, cut), &first, &two);

	if (parts == REPLY_MORE)
		parts = reply_feed(&q, slice_from(in, cut), &more, &two);
	/* Beyond the limits, the whole may be refused before its parts are. */
	demand(whole == parts || in.n > REPLY_BYTES_MAX);
	if (whole == REPLY_DONE && parts == REPLY_DONE) {
		demand(
		    used == first + more && one.code == two.code && slice_eq(one.text, two.text));
		demand(one.lines == two.lines && memcmp(one.enh, two.enh, 3) == 0);
		ehlo_parse(&one, &ehlo);
	}
	reply_parser_fini(&p);
	reply_parser_fini(&q);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in;
	size_t cut;

	if (size < 2)
		return 0;
	in = slice_of(data + 2, size - 2);
	cut = in.n == 0 ? 0 : ((size_t)data[0] << 8 | data[1]) % (in.n + 1);
	check_decode(in, cut);
	check_encode(in, cut);
	check_reply(in, cut);
	return 0;
}
