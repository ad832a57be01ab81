/* SPDX-License-Identifier: ISC */
#include "base/slice.h"

#include "base/die.h"

#include <assert.h>

bool
slice_ieq(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool
slice_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

bool
slice_is(struct slice s, const char *z)
{
	return slice_eq(s, slice_z(z));
}

bool
slice_iis(struct slice s, const char *z)
{
	return slice_ieq(s, slice_z(z));
}

bool
slice_istarts(struct slice s, const char *z)
{
	size_t n = strlen(z);

	return s.n >= n && slice_ieq(slice_head(s, n), slice_of(z, n));
}

bool
slice_iends(struct slice s, struct slice end)
{
	return s.n >= end.n && slice_ieq(slice_from(s, s.n - end.n), end);
}

ptrdiff_t
slice_find(struct slice s, char c)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	return at == NULL ? -1 : at - s.p;
}

struct slice
slice_trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_from(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool
slice_next(struct slice *s, char sep, struct slice *part)
{
	ptrdiff_t at;

	if (s->p == NULL)
		return false;
	at = slice_find(*s, sep);
	*part = at < 0 ? *s : slice_head(*s, (size_t)at);
	*s = at < 0 ? SLICE_NONE : slice_from(*s, (size_t)at + 1);
	return true;
}

bool
slice_u64(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_digit(s.p[i]))
			return false;
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

bool
slice_copy(struct slice s, char *out, size_t size)
{
	size_t n = s.n < size ? s.n : size - 1;

	assert(size > 0);
	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
	return n == s.n;
}

char *
slice_dup(struct slice s)
{
	char *z = xmalloc(s.n + 1);

	slice_copy(s, z, s.n + 1);
	return z;
}

uint64_t
slice_ihash(struct slice s)
{
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)ascii_lower(s.p[i])) * 0x100000001b3U;
	return h;
}
