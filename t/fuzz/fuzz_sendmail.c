/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail_options.h"
#include "ctl/submit_message.h"
#include "ctl/submit_text.h"
#include "mail/dropfile.h"

#include <assert.h>

/*
 * A command line and what is piped in, parted by the first empty line; the words of the command
 * line by LF. What comes out must be clean lines and an envelope that the drop file can hold and
 * give back.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 30 };

static void
check_lines(struct slice s)
{
	while (s.n > 0) {
		ptrdiff_t lf = slice_find(s, '\n');

		assert(lf > 0 && slice_find(s, '\r') == lf - 1);
		s = slice_from(s, (size_t)lf + 1);
	}
}

static void
check_drop(const struct submit_message *m)
{
	struct arena arena = { 0 };
	struct dropfile in = { .sender = m->sender, .n_recipients = m->n_rcpt }, out;
	struct dropfile_recipient *list = arena_alloc(&arena, m->n_rcpt * sizeof *list);
	struct dropfile_sum sum = { 0 };
	struct buf file = { 0 };
	char tail[DROPFILE_TAIL + 1];
	const char *why;

	for (size_t i = 0; i < m->n_rcpt; i++)
		list[i] = (struct dropfile_recipient){ .address = m->rcpt[i] };
	in.recipients = list;
	assert(dropfile_head(&in, &file));
	buf_slice(&file, slice_buf(&m->header));
	buf_slice(&file, m->body);
	dropfile_sum_add(&sum, slice_buf(&file));
	dropfile_tail(&sum, tail);
	buf_put(&file, tail, DROPFILE_TAIL);
	assert(dropfile_parse(slice_buf(&file), m->n_rcpt, &arena, &out, &why));
	assert(slice_eq(out.sender, m->sender) && out.n_recipients == m->n_rcpt);
	for (size_t i = 0; i < m->n_rcpt; i++)
		assert(slice_eq(out.recipients[i].address, m->rcpt[i]));
	assert(out.message.n == m->header.n + m->body.n);
	arena_fini(&arena);
	buf_fini(&file);
}

static void
build(const struct sendmail_options *o, struct slice in)
{
	struct slice words[WORDS_MAX];
	struct submit_text t = { .dots_literal = o->dots_literal };
	struct submit_rules rules = { .extract = o->extract,
		.complete = !o->gateway,
		.origin_sure = !o->verbose,
		.origin = SLICE_LIT("o.example"),
		.login = SLICE_LIT("alice"),
		.name = slice_z(o->name != NULL ? o->name : "A. B"),
		.sender_given = o->sender_given,
		.sender = slice_z(o->sender),
		.words = words };
	struct submit_message m;
	struct buf lines = { 0 };

	for (int i = 0; i < o->n_words; i++)
		words[rules.n_words++] = slice_z(o->words[i]);
	submit_text_feed(&t, slice_head(in, in.n / 2), &lines);
	submit_text_feed(&t, slice_from(in, in.n / 2), &lines);
	submit_text_end(&t, &lines);
	check_lines(slice_buf(&lines));
	if (submit_message_build(slice_buf(&lines), &rules, &m) == SUBMIT_OK) {
		check_lines(slice_buf(&m.header));
		check_lines(m.body);
		check_drop(&m);
	}
	submit_message_fini(&m);
	submit_text_fini(&t);
	buf_fini(&lines);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size), line;
	char name[] = "sendmail", *argv[WORDS_MAX + 1] = { name }, why[300];
	struct sendmail_options o;
	struct arena arena = { 0 };
	int argc = 1;

	while (argc < WORDS_MAX && slice_next(&rest, '\n', &line) && line.n > 0)
		argv[argc++] = arena_z(&arena, line);
	if (sendmail_options_parse(argc, argv, &o, why, sizeof why) == 0)
		build(&o, rest.p != NULL ? rest : SLICE_LIT(""));
	else
		assert(strchr(why, '\n') == NULL);
	arena_fini(&arena);
	return 0;
}
