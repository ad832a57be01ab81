/* SPDX-License-Identifier: ISC */
#include "../check_main.h"
#include "fake.h"

#include <fnmatch.h>
#include <glob.h>

/*
 * Plays the dialogues of t/talk against the session machine; over loopback t/e2e plays the same
 * files. The form is told in t/e2e/lib/Talk.pm.
 */
static glob_t files;

static size_t
unescape(char *s)
{
	char *to = s;

	for (const char *p = s; *p != '\0'; p++) {
		unsigned byte;

		if (*p != '\\') {
			*to++ = *p;
			continue;
		}
		p++;
		if (*p == 'x' && sscanf(p + 1, "%2x", &byte) == 1) {
			*to++ = (char)byte;
			p += 2;
		} else
			*to++ = *p == 'r'   ? '\r'
				: *p == 'n' ? '\n'
				: *p == 't' ? '\t'
				: *p == '0' ? '\0'
					    : *p;
	}
	return (size_t)(to - s);
}

/* Takes the next whole reply off f->out: its lines without CR LF. */
static bool
next_reply(struct fake *f, struct buf *reply)
{
	struct slice out = slice_buf(&f->out), line;
	size_t used = 0;

	buf_reset(reply);
	while (slice_next(&out, '\n', &line) && out.p != NULL) {
		used += line.n + 1;
		ck_assert(line.n > 4 && line.p[line.n - 1] == '\r');
		buf_put(reply, line.p, line.n - 1);
		buf_putc(reply, '\n');
		if (line.p[3] == ' ') {
			buf_drop(&f->out, used);
			return true;
		}
	}
	return false;
}

static bool
has_line(const struct buf *reply, const char *pattern)
{
	struct slice lines = slice_buf(reply), line;
	char text[1024];

	while (slice_next(&lines, '\n', &line))
		if (line.n > 4 && slice_copy(slice_from(line, 4), text, sizeof text) &&
		    fnmatch(pattern, text, 0) == 0)
			return true;
	return false;
}

static void
expect(struct fake *f, const char *where, const char *text)
{
	static struct buf reply;
	static char others[16][256];
	static int nothers;

	if (strcmp(text, "close") == 0) {
		ck_assert_msg(f->session == NULL, "%s: the session goes on", where);
		ck_assert_msg(
		    f->out.n == 0, "%s: more was said: %.*s", where, (int)f->out.n, f->out.p);
		return;
	}
	if (text[3] == '-') {
		snprintf(others[nothers++], sizeof *others, "%s", text + 4);
		return;
	}
	ck_assert_msg(next_reply(f, &reply), "%s: no reply, expected %s", where, text);
	ck_assert_msg(strncmp(reply.p, text, 3) == 0, "%s: expected %s, got %.*s", where, text,
	    (int)reply.n, reply.p);
	if (text[3] == ' ')
		snprintf(others[nothers++], sizeof *others, "%s", text + 4);
	while (nothers > 0)
		ck_assert_msg(has_line(&reply, others[--nothers]), "%s: no line like %s in %.*s",
		    where, others[nothers], (int)reply.n, reply.p);
}

START_TEST(dialogue)
{
	const char *path = files.gl_pathv[_i];
	FILE *in = fopen(path, "r");
	static char line[8192], where[600];
	unsigned number = 0, expected = 0;
	struct fake f;

	ck_assert_msg(in != NULL, "%s", path);
	fake_init(&f, CLASS_MX, "");
	while (fgets(line, sizeof line - 3, in) != NULL) {
		char *text = line + 3;

		snprintf(where, sizeof where, "%s:%u", path, ++number);
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[strspn(line, " \t")] == '\0')
			continue;
		if (line[2] == '\0')
			text = line + 2; /* "C:" alone: an empty line */
		if (strncmp(line, "S:", 2) == 0) {
			expect(&f, where, text);
			expected++;
		} else if (strncmp(line, "C>", 2) == 0)
			ck_assert_msg(
			    fake_send(&f, slice_of(text, unescape(text))), "%s: closed", where);
		else {
			size_t n = unescape(text);

			ck_assert_msg(strncmp(line, "C:", 2) == 0, "%s: what is this?", where);
			memcpy(text + n, "\r\n", 2);
			ck_assert_msg(fake_send(&f, slice_of(text, n + 2)), "%s: closed", where);
		}
	}
	fclose(in);
	ck_assert_uint_gt(expected, 1);
	fake_fini(&f);
}
END_TEST

START_TEST(there_are_dialogues)
{
	ck_assert_uint_ge(files.gl_pathc, 20);
}
END_TEST

static void
cases(TCase *tc)
{
	/* From the top of the tree, as make runs it. */
	(void)glob("t/talk/*.talk", 0, NULL, &files);
	tcase_add_test(tc, there_are_dialogues);
	tcase_add_loop_test(tc, dialogue, 0, (int)files.gl_pathc);
}

CHECK_MAIN("talk", cases)
