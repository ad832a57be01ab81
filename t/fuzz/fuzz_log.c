/* SPDX-License-Identifier: ISC */
/* Rows of events as a bad service may send them: read, judged, shown as JSON and as text. */
#include "base/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

/* Bytes of one line whatever strangers wrote: printable ASCII, or parts of characters beyond it. */
static void
demand_clean(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		demand((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f);
}

/* Strings of JSON end where they should, braces stand outside of them, and commas between pairs. */
static void
demand_json(struct slice s)
{
	bool in_string = false;
	int depth = 0;

	demand(s.n > 2 && s.p[s.n - 1] == '\n');
	s.n--;
	demand_clean(s);
	for (size_t i = 0; i < s.n; i++) {
		if (in_string && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			in_string = !in_string;
		else if (!in_string) {
			depth += s.p[i] == '{' ? 1 : s.p[i] == '}' ? -1 : 0;
			demand(depth > 0 || i + 1 == s.n);
			demand(memchr("{}:,-0123456789", s.p[i], 15) != NULL);
			demand(s.p[i] != ',' || s.p[i + 1] == '"');
			demand(s.p[i] != ':' || s.p[i - 1] == '"');
		}
	}
	demand(!in_string && depth == 0);
}

/* What is valid has a word for all that is in it; what is not is shown all the same. */
static void
look_at(const struct log_record *r)
{
	struct slice f = r->fields;
	struct log_value v;
	size_t left = f.n;

	while (log_value_next(&f, &v)) {
		demand(f.n < left);
		demand(v.s.n == 0 ||
		       (v.s.p >= r->fields.p && v.s.p + v.s.n <= r->fields.p + r->fields.n));
		if (log_record_valid(r))
			demand(log_key_word(v.key) != NULL);
		left = f.n;
	}
	demand(!log_record_valid(r) || (f.n == 0 && log_event_word(r->event) != NULL));
	demand(log_level_word(log_event_level(r->event)) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct log_record r;
	struct buf out = { 0 };
	size_t left = size;

	while (log_record_next(&in, &r)) {
		demand(in.n + LOG_HEAD <= left);
		demand(r.fields.n == left - in.n - LOG_HEAD);
		left = in.n;
		look_at(&r);
		buf_reset(&out);
		log_format_json(&out, &r, SERVICE_QMGR);
		demand_json(slice_buf(&out));
		buf_reset(&out);
		log_format_text(&out, &r);
		demand_clean(slice_buf(&out));
	}
	buf_fini(&out);
	return 0;
}
