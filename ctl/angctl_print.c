/* SPDX-License-Identifier: ISC */
#include "ctl/angctl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Control bytes of what strangers wrote do not reach the terminal. */
static void
put_clean(const char *z, size_t n)
{
	for (size_t i = 0; i < n; i++)
		putchar((unsigned char)z[i] < ' ' || z[i] == 127 ? '?' : z[i]);
}

/* Texts with a comma between. */
static void
list_text(const json_t *list, char *out, size_t size)
{
	size_t i, used = 0;
	json_t *v;

	out[0] = '\0';
	json_array_foreach(list, i, v)
	{
		int n = snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
		    json_is_string(v) ? json_string_value(v) : "-");

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

/* Times of the wall clock are shown as such; other numbers as they are. */
static void
value_text(const char *key, const json_t *v, char *out, size_t size)
{
	if (json_is_string(v))
		snprintf(out, size, "%s", json_string_value(v));
	else if (json_is_integer(v)) {
		json_int_t n = json_integer_value(v);
		time_t s = (time_t)(n / 1000);
		struct tm tm;

		if (strcmp(key, "arrival_ms") == 0 && localtime_r(&s, &tm) != NULL)
			strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm);
		else
			snprintf(out, size, "%" JSON_INTEGER_FORMAT, n);
	} else if (json_is_boolean(v))
		snprintf(out, size, "%s", json_is_true(v) ? "yes" : "no");
	else if (json_is_real(v))
		snprintf(out, size, "%.3f", json_real_value(v));
	else if (json_is_array(v))
		list_text(v, out, size);
	else
		snprintf(out, size, "-");
}

static void
put_cell(const char *text, int width, bool last)
{
	int pad = (width < 0 ? -width : width) - (int)strlen(text);

	if (width > 0)
		for (; pad > 0; pad--)
			putchar(' ');
	put_clean(text, strlen(text));
	if (width < 0 && !last)
		for (; pad > 0; pad--)
			putchar(' ');
	putchar(last ? '\n' : ' ');
}

static bool
named(const struct column *c, const char *key)
{
	for (; c->key[0] != '\0'; c++)
		if (strcmp(c->key, key) == 0)
			return true;
	return false;
}

/* The column "*": whatever no other column shows, as key=value. */
static void
put_rest(const struct column *columns, json_t *o)
{
	static const char *const dull[] = { "level", "pid", "generation" };
	char text[2048];
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v)
	{
		bool skip = named(columns, key);

		for (size_t i = 0; i < sizeof dull / sizeof *dull; i++)
			skip = skip || strcmp(dull[i], key) == 0;
		if (skip)
			continue;
		value_text(key, v, text, sizeof text);
		printf("%s=", key);
		put_clean(text, strlen(text));
		putchar(' ');
	}
	putchar('\n');
}

static void
put_row(const struct column *columns, json_t *o, const char *indent)
{
	char text[2048];

	fputs(indent, stdout);
	for (const struct column *c = columns; c->key[0] != '\0'; c++) {
		if (strcmp(c->key, "*") == 0) {
			put_rest(columns, o);
			return;
		}
		value_text(c->key, json_object_get(o, c->key), text, sizeof text);
		put_cell(text, c->width, c[1].key[0] == '\0');
	}
}

static void
put_titles(const struct column *columns)
{
	for (const struct column *c = columns; c->key[0] != '\0'; c++)
		if (c->title != NULL)
			put_cell(c->title, c->width, c[1].key[0] == '\0');
}

static void
put_pairs(json_t *o, int depth)
{
	char text[2048];
	const char *key;
	json_t *v, *e;
	size_t i;

	json_object_foreach(o, key, v)
	{
		printf("%*s%s:", depth * 2, "", key);
		if (json_is_object(v)) {
			putchar('\n');
			put_pairs(v, depth + 1);
		} else if (json_is_array(v)) {
			putchar('\n');
			json_array_foreach(v, i, e)
			{
				printf("%*s-", depth * 2 + 2, "");
				if (json_is_object(e)) {
					putchar('\n');
					put_pairs(e, depth + 2);
					continue;
				}
				value_text("", e, text, sizeof text);
				putchar(' ');
				put_clean(text, strlen(text));
				putchar('\n');
			}
		} else {
			value_text(key, v, text, sizeof text);
			putchar(' ');
			put_clean(text, strlen(text));
			putchar('\n');
		}
	}
}

static void
put_object(struct printer *p, json_t *o)
{
	json_t *nested = p->nested == NULL ? NULL : json_object_get(o, p->nested), *e;
	size_t i;

	if (p->columns == NULL) {
		put_pairs(o, 0);
		return;
	}
	if (!p->titled)
		put_titles(p->columns);
	p->titled = true;
	put_row(p->columns, o, "");
	json_array_foreach(nested, i, e) put_row(p->nested_columns, e, "    ");
}

static void
put_line(struct printer *p, const char *line, size_t n)
{
	json_t *o = p->a->json ? NULL : json_loadb(line, n, 0, NULL);

	p->rows++;
	if (json_is_object(o))
		put_object(p, o);
	else {
		fwrite(line, 1, n, stdout);
		putchar('\n');
	}
	json_decref(o);
}

bool
printer_piece(struct slice piece, void *arg)
{
	struct printer *p = arg;
	ptrdiff_t end;

	while ((end = slice_find(piece, '\n')) >= 0) {
		p->part = xrealloc(p->part, p->npart + (size_t)end + 1);
		memcpy(p->part + p->npart, piece.p, (size_t)end);
		put_line(p, p->part, p->npart + (size_t)end);
		p->npart = 0;
		piece = slice_from(piece, (size_t)end + 1);
	}
	p->part = xrealloc(p->part, p->npart + piece.n + 1);
	if (piece.n > 0)
		memcpy(p->part + p->npart, piece.p, piece.n);
	p->npart += piece.n;
	fflush(stdout); /* somebody may be looking on */
	return !ferror(stdout);
}

void
printer_end(struct printer *p)
{
	if (p->npart > 0)
		put_line(p, p->part, p->npart);
	free(p->part);
	p->part = NULL;
	p->npart = 0;
}
