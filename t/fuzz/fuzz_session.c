/* SPDX-License-Identifier: ISC */
/*
 * The whole session machine, with a router and a disk made up. First byte: class, order of answers,
 * commits that fail, no room; then the client's bytes, cut into packets by 0xff and a length.
 */
#include "t/unit/smtpd/fake.h"

#include "spool/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is stored must be what a reader of the spool takes, and clean. */
static void
check(const struct fake *f)
{
	struct slice content = slice_buf(&f->content);
	const char *why;
	uint32_t nrcpt;

	if (f->committed == 0)
		return;
	if (envelope_check(slice_buf(&f->envelope), &nrcpt, &why) != 0 || nrcpt != f->nrcpt)
		abort();
	if (body_look(content) & BODY_MALFORMED)
		abort();
	if (f->head_bytes > content.n ||
	    (content.n > 0 && (content.n < 2 || content.p[content.n - 1] != '\n')))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf *conf;
	static struct fake f;
	unsigned how;

	if (size == 0)
		return 0;
	how = data[0];
	if (conf == NULL)
		conf = fake_conf("message_size_limit = 64K\nerrors_max = 100\n");
	fake_init_conf(&f, how & 1 ? CLASS_LOCAL : CLASS_MX, conf_ref(conf));
	f.answer_last_first = how & 2;
	f.fate = how & 4 ? LETTER_TROUBLE : LETTER_DURABLE;
	f.room = how & 8 ? WRITER_NO_SPACE : WRITER_ROOM;
	for (size_t at = 1; at < size && f.session != NULL;) {
		const uint8_t *cut = memchr(data + at, 0xff, size - at);
		size_t n = cut == NULL ? size - at : (size_t)(cut - data) - at;

		fake_send(&f, slice_of(data + at, n));
		at += n + 1;
		buf_reset(&f.out); /* the client reads */
	}
	if (how & 16 && f.session != NULL)
		session_finish(f.session);
	if (how & 32 && f.session != NULL)
		session_expired(f.session);
	check(&f);
	fake_fini(&f);
	return 0;
}
