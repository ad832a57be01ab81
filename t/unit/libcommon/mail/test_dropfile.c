/* SPDX-License-Identifier: ISC */
#include "mail/dropfile.h"

#include "t/unit/check_main.h"

#include <stdio.h>

static const char *const message = "Subject: x\r\n\r\n.dot\r\n\0nul\r\n";
enum { MESSAGE_BYTES = 26 };

static void
commit(struct buf *file)
{
	struct dropfile_sum sum = { 0 };
	char tail[DROPFILE_TAIL + 1];

	dropfile_sum_add(&sum, slice_buf(file));
	dropfile_tail(&sum, tail);
	buf_put(file, tail, DROPFILE_TAIL);
}

static bool
parse_text(const char *envelope, struct slice content, struct arena *a, struct dropfile *d,
    const char **why)
{
	struct buf file = { 0 };
	struct slice kept;

	buf_puts(&file, envelope);
	buf_slice(&file, content);
	commit(&file);
	kept = arena_slice(a, slice_buf(&file));
	buf_fini(&file);
	return dropfile_parse(kept, 3, a, d, why);
}

START_TEST(what_is_written_is_read)
{
	const struct dropfile_recipient list[] = {
		{ .address = SLICE_LIT("bob@example.net"),
		    .notify = SLICE_LIT("FAILURE,DELAY"),
		    .orcpt = SLICE_LIT("rfc822;b+40b") },
		{ .address = SLICE_LIT("\"odd one\"@example.org") },
		{ .address = SLICE_LIT("gr\xc3\xbc\xc3\x9f\x65"), .orcpt = SLICE_LIT("rfc822;x") },
	};
	const struct dropfile in = { .uid = 4294967295u,
		.body = DROPFILE_BODY_8BIT,
		.ret = DROPFILE_RET_HDRS,
		.sender = SLICE_LIT("a@b"),
		.envid = SLICE_LIT("id+2B1"),
		.recipients = list,
		.n_recipients = 3 };
	struct dropfile_sum sum = { 0 };
	char tail[DROPFILE_TAIL + 1];
	struct arena arena = { 0 };
	struct buf file = { 0 };
	struct dropfile d;
	const char *why;

	ck_assert(dropfile_head(&in, &file));
	dropfile_sum_add(&sum, slice_buf(&file)); /* in pieces, as sendmail does */
	buf_put(&file, message, MESSAGE_BYTES);
	dropfile_sum_add(&sum, slice_of(message, 5));
	dropfile_sum_add(&sum, slice_of(message + 5, MESSAGE_BYTES - 5));
	dropfile_tail(&sum, tail);
	buf_put(&file, tail, DROPFILE_TAIL);
	ck_assert_msg(dropfile_parse(slice_buf(&file), 3, &arena, &d, &why), "%s", why);
	ck_assert_uint_eq(d.uid, 4294967295u);
	ck_assert_int_eq(d.body, DROPFILE_BODY_8BIT);
	ck_assert_int_eq(d.ret, DROPFILE_RET_HDRS);
	ck_assert(slice_is(d.sender, "a@b") && slice_is(d.envid, "id+2B1"));
	ck_assert_uint_eq(d.n_recipients, 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert(slice_eq(d.recipients[i].address, list[i].address));
		ck_assert(slice_eq(d.recipients[i].notify, list[i].notify));
		ck_assert(slice_eq(d.recipients[i].orcpt, list[i].orcpt));
	}
	ck_assert(slice_eq(d.message, slice_of(message, MESSAGE_BYTES)));
	ck_assert(!dropfile_parse(slice_buf(&file), 2, &arena, &d, &why));
	ck_assert_str_eq(why, "too many recipients");
	arena_fini(&arena);
	buf_fini(&file);
}
END_TEST

/* No cut, no flipped bit, no byte more passes for a committed file. */
START_TEST(only_the_whole_file_is_committed)
{
	const struct dropfile_recipient one = { .address = SLICE_LIT("bob") };
	const struct dropfile in = { .recipients = &one, .n_recipients = 1 };
	struct arena arena = { 0 };
	struct buf file = { 0 };
	struct dropfile d;
	const char *why;

	ck_assert(dropfile_head(&in, &file));
	buf_put(&file, message, MESSAGE_BYTES);
	commit(&file);
	ck_assert(dropfile_parse(slice_buf(&file), 1, &arena, &d, &why));
	ck_assert(d.sender.n == 0);
	for (size_t n = 0; n < file.n; n++)
		ck_assert(!dropfile_parse(slice_of(file.p, n), 1, &arena, &d, &why));
	for (size_t bit = 0; bit < file.n * 8; bit++) {
		file.p[bit / 8] = (char)(file.p[bit / 8] ^ 1 << bit % 8);
		ck_assert(!dropfile_parse(slice_buf(&file), 1, &arena, &d, &why));
		file.p[bit / 8] = (char)(file.p[bit / 8] ^ 1 << bit % 8);
	}
	buf_putc(&file, '\n');
	ck_assert(!dropfile_parse(slice_buf(&file), 1, &arena, &d, &why));
	arena_fini(&arena);
	buf_fini(&file);
}
END_TEST

static const struct {
	const char *envelope, *content, *why; /* why NULL: it is read */
} files[] = {
	{ "angarium-drop 1\nU1\nFa@b\nRc\n\n", "x\r\n", NULL },
	{ "angarium-drop 1\nU1\nF\nRc\n\n", "", NULL },
	{ "angarium-drop 1\nU1\nFa\nBSMTPUTF8\nTFULL\nV1\nRc\tNOTIFY=NEVER\n\n", "\r\n", NULL },
	{ "angarium-drop 2\nU1\nFa@b\nRc\n\n", "x\r\n", "not a drop file of a known version" },
	{ "", "", "not a drop file of a known version" },
	{ "angarium-drop 1\nU-1\nFa\nRc\n\n", "x\r\n", "malformed uid" },
	{ "angarium-drop 1\nU4294967296\nFa\nRc\n\n", "x\r\n", "malformed uid" },
	{ "angarium-drop 1\nFa\nRc\n\n", "x\r\n", "malformed uid" },
	{ "angarium-drop 1\nU1\nRc\n\n", "x\r\n", "malformed sender" },
	{ "angarium-drop 1\nU1\nFa\rb\nRc\n\n", "x\r\n", "malformed sender" },
	{ "angarium-drop 1\nU1\nFa\nBX\nRc\n\n", "x\r\n", "unknown body type" },
	{ "angarium-drop 1\nU1\nFa\nB\nRc\n\n", "x\r\n", "unknown body type" },
	{ "angarium-drop 1\nU1\nFa\nTx\nRc\n\n", "x\r\n", "unknown RET word" },
	{ "angarium-drop 1\nU1\nFa\nV\nRc\n\n", "x\r\n", "empty ENVID" },
	{ "angarium-drop 1\nU1\nFa\n\n", "x\r\n", "no recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\nRd\nRe\nRf\n\n", "x\r\n", "too many recipients" },
	{ "angarium-drop 1\nU1\nFa\nR\n\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\nU0\n\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\tNOTIFY=\n\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\tNOTIFY=A\tNOTIFY=B\n\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\tSIZE=1\n\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\t\n\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\x01\n\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\n", "x\r\n", "malformed recipient" },
	{ "angarium-drop 1\nU1\nFa\nRc\n", "", "envelope without an end" },
	{ "angarium-drop 1\nU1\nFa\nRc\n\n", "x\n", "message with lines not ended by CR LF" },
	{ "angarium-drop 1\nU1\nFa\nRc\n\n", "x", "message with lines not ended by CR LF" },
	{ "angarium-drop 1\nU1\nFa\nRc\n\n", "x\ry\r\n", "message with lines not ended by CR LF" },
	{ "angarium-drop 1\nU1\nFa\nRc\n\n", "x\r\r\n", "message with lines not ended by CR LF" },
	{ "angarium-drop 1\nU1\nFa\nRc\n\n", "\n", "message with lines not ended by CR LF" },
};

START_TEST(hostile_files)
{
	struct arena arena = { 0 };
	struct dropfile d;
	const char *why = NULL;
	bool ok = parse_text(files[_i].envelope, slice_z(files[_i].content), &arena, &d, &why);

	ck_assert_msg(ok == (files[_i].why == NULL), "%s: %s", files[_i].envelope, why);
	if (!ok)
		ck_assert_str_eq(why, files[_i].why);
	arena_fini(&arena);
}
END_TEST

/* What could end or split a line is not written. */
START_TEST(writer_refuses_what_the_reader_would)
{
	static const char *const bad[] = { "", "a\nU0", "a\rb", "a\tNOTIFY=NEVER", "a\x7f" };
	struct buf out = { 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct dropfile_recipient one = { .address = slice_z(bad[i]) };
		struct dropfile d = { .recipients = &one, .n_recipients = 1 };

		ck_assert(!dropfile_head(&d, &out));
		one = (struct dropfile_recipient){ .address = SLICE_LIT("a") };
		d.sender = slice_z(bad[i]);
		ck_assert(dropfile_head(&d, &out) == (i == 0));
		buf_reset(&out);
	}
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, what_is_written_is_read);
	tcase_add_test(tc, only_the_whole_file_is_committed);
	tcase_add_test(tc, writer_refuses_what_the_reader_would);
	tcase_add_loop_test(tc, hostile_files, 0, sizeof files / sizeof *files);
}
CHECK_MAIN("dropfile", cases)
