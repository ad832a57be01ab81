/* SPDX-License-Identifier: ISC */
#include "bounced/classify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void
classifier_init(struct classifier *c, int dirfd, const char *file)
{
	*c = (struct classifier){
		.dirfd = dirfd, .rules = rules_none(), .file = slice_dup(slice_z(file))
	};
}

void
classifier_fini(struct classifier *c)
{
	rules_free(c->rules);
	free(c->file);
	buf_fini(&c->error);
}

static int
read_file(int dirfd, const char *name, struct buf *out)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = 1;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	while (n > 0 && out->n <= RULES_FILE_MAX) {
		n = read(fd, buf_room(out, 65536), 65536);
		if (n > 0)
			out->n += (size_t)n;
	}
	close(fd);
	return n < 0 ? -EIO : 0;
}

bool
classifier_load(struct classifier *c, const char *file)
{
	const char *slash = strrchr(file, '/'), *name = slash == NULL ? file : slash + 1;
	struct rules *fresh = NULL;
	struct buf text = { 0 };
	int error = c->dirfd < 0 ? -ENOENT : read_file(c->dirfd, name, &text);

	buf_reset(&c->error);
	if (error != 0)
		buf_printf(&c->error, "%s: %s", file, strerror(-error));
	else if (rules_parse(slice_buf(&text), file, &fresh, &c->error) == 0) {
		rules_free(c->rules);
		c->rules = fresh;
		c->loaded++;
	}
	buf_fini(&text);
	return fresh != NULL;
}

/* "5.1.1", off the front. */
static bool
take_status(struct slice *s, uint16_t enh[3])
{
	size_t at = 0;
	uint16_t got[3];

	for (int i = 0; i < 3; i++) {
		unsigned v = 0, digits = 0;

		for (; at < s->n && ascii_digit(s->p[at]) && digits < 3; at++, digits++)
			v = v * 10 + (unsigned)(s->p[at] - '0');
		if (digits == 0 || (i < 2 && (at == s->n || s->p[at++] != '.')))
			return false;
		got[i] = (uint16_t)v;
	}
	if ((got[0] != 2 && got[0] != 4 && got[0] != 5) ||
	    (at < s->n && (ascii_digit(s->p[at]) || s->p[at] == '.')))
		return false;
	memcpy(enh, got, sizeof got);
	*s = slice_trim(slice_from(*s, at));
	return true;
}

static bool
take_code(struct slice *s, uint16_t *code)
{
	if (s->n < 3 || s->p[0] < '2' || s->p[0] > '5' || !ascii_digit(s->p[1]) ||
	    !ascii_digit(s->p[2]) || (s->n > 3 && s->p[3] != ' ' && s->p[3] != '-'))
		return false;
	*code = (uint16_t)((s->p[0] - '0') * 100 + (s->p[1] - '0') * 10 + (s->p[2] - '0'));
	*s = slice_trim(slice_from(*s, 4));
	return true;
}

void
reply_complete(struct reply *reply)
{
	struct slice rest = slice_trim(reply->text);
	uint16_t code;
	uint16_t enh[3];

	if (take_code(&rest, &code) && reply->code == 0)
		reply->code = code;
	if (rest.n > 0 && rest.p[0] == '#')
		rest = slice_from(rest, 1);
	/* Numbers above 255 (5.7.606) are left in the text by whoever read the reply. */
	if (take_status(&rest, enh) && (reply->enh[0] == 0 || enh[1] > 255 || enh[2] > 255))
		memcpy(reply->enh, enh, sizeof enh);
	reply->text = rest;
}

/* Blanks in a row are one, so that rules need not think of folds. */
static struct slice
squeezed(struct slice text, char out[RULES_TEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < text.n && n < RULES_TEXT_MAX; i++) {
		char c = text.p[i] == '\t' ? ' ' : text.p[i];

		if (c != ' ' || (n > 0 && out[n - 1] != ' '))
			out[n++] = c;
	}
	return slice_of(out, n);
}

void
classifier_ask(struct classifier *c, const struct reply *reply, struct verdict *out)
{
	struct reply whole = *reply;
	char text[RULES_TEXT_MAX];

	reply_complete(&whole);
	whole.text = squeezed(whole.text, text);
	rules_classify(c->rules, &whole, out);
	c->asked++;
	c->stalled += out->stalled;
}
