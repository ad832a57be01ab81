/* SPDX-License-Identifier: ISC */
/*
 * Between a corpus of addresses and our parser: a line a case on standard input, with the escapes
 * \t \n \r \\, and a line an answer: may this stand in RCPT TO:<>? valid, utf8 (with SMTPUTF8 only)
 * or invalid.
 */
#include "smtp/path.h"

#include <stdio.h>
#include <stdlib.h>

/* In place; returns the new length. An unknown escape stands for itself. */
static size_t
unescape(char *line, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		char c = line[i], next = i + 1 < n ? line[i + 1] : '\0';

		if (c == '\\' && (next == 't' || next == 'n' || next == 'r' || next == '\\')) {
			c = next == 't' ? '\t' : next == 'n' ? '\n' : next == 'r' ? '\r' : '\\';
			i++;
		}
		line[to++] = c;
	}
	return to;
}

static const char *
judge(struct slice addr)
{
	struct path path;

	switch (path_address(addr, 0, &path)) {
	case PATH_OK:
		return "valid";
	case PATH_NEEDS_UTF8:
		return "utf8";
	case PATH_BAD:
	case PATH_TOO_LONG:
	case PATH_UNKNOWN_LITERAL:
		break;
	}
	return "invalid";
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0) {
		if (line[n - 1] == '\n')
			n--;
		puts(judge(slice_of(line, unescape(line, (size_t)n))));
	}
	free(line);
	return fflush(stdout) == 0 ? 0 : 1;
}
