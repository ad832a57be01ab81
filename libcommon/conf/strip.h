/* SPDX-License-Identifier: ISC */
#ifndef CONF_STRIP_H
#define CONF_STRIP_H

#include "base/buf.h"

/*
 * The text as libconfuse shall see it, line for line: comments taken out, NUL-ended behind n, an
 * empty list given one empty element so that its line becomes known. Refused is what libconfuse
 * would take in a way nobody expects: values of environment variables, stray characters that it
 * skips, strings over several lines, sections without an end, "+=", which would begin from nothing
 * and not from the default.
 *
 * False: *line and *why say what is wrong.
 */
bool strip_text(struct slice text, struct buf *out, unsigned *line, const char **why);

#endif
