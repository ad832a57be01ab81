/* SPDX-License-Identifier: ISC */
#include "smtp/ext.h"

static const struct {
	const char *word;
	unsigned ext;
} exts[] = {
#define E(name, word, bit) { word, EXT_##name },
	EXT_TABLE(E)
#undef E
};

unsigned
ext_of(struct slice keyword)
{
	for (size_t i = 0; i < sizeof exts / sizeof *exts; i++)
		if (slice_iis(keyword, exts[i].word))
			return exts[i].ext;
	return 0;
}

const char *
ext_word(enum ext ext)
{
	for (size_t i = 0; i < sizeof exts / sizeof *exts; i++)
		if (exts[i].ext == ext)
			return exts[i].word;
	return "?";
}
