/* SPDX-License-Identifier: ISC */
/*
 * adapter_reply RULES: answers each line, an SMTP reply with \t \r \n \\ escaped, with the number,
 * a tab and the name of its class.
 */
#include "bounced/classify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static struct slice
unescape(char *line, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		char c = line[i];

		if (c == '\\' && i + 1 < n)
			c = line[++i] == 't' ? '\t' : line[i] == '\\' ? '\\' : ' ';
		line[to++] = c == '\r' || c == '\n' ? ' ' : c;
	}
	return slice_of(line, to);
}

int
main(int argc, char *argv[])
{
	struct classifier c;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (argc != 2) {
		fprintf(stderr, "usage: adapter_reply RULES <REPLIES\n");
		return 64;
	}
	classifier_init(&c, AT_FDCWD, argv[1]);
	{
		char *dir = slice_dup(slice_z(argv[1])), *slash = strrchr(dir, '/');

		if (slash != NULL) {
			*slash = '\0';
			c.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		}
		free(dir);
	}
	if (!classifier_load(&c, argv[1])) {
		fprintf(stderr, "%.*s\n", SLICE_ARG(slice_buf(&c.error)));
		return 1;
	}
	while ((n = getline(&line, &size, stdin)) >= 0) {
		struct reply reply = { .text = unescape(line, (size_t)n) };
		struct verdict v;

		classifier_ask(&c, &reply, &v);
		printf("%u\t%s\t%u%s\n", v.number, v.name, v.line, v.stalled ? "\tstalled" : "");
	}
	free(line);
	classifier_fini(&c);
	return 0;
}
