/* SPDX-License-Identifier: ISC */
/*
 * Writes angarium.conf(5): copies its template from stdin to stdout and puts the rows of
 * conf/keys.h where a line `.\" KEYS table` stands. The manual so cannot say other than the parser
 * does.
 */
#include "base/die.h"
#include "conf/value.h"

#include <stdio.h>

struct entry {
	const char *key, *help;
};

#define K(type, field, key, def, min, max, help) { key, help },
static const struct entry conf_keys[] = { CONF_KEYS(K){ NULL, NULL } };
static const struct entry scoped_keys[] = { CONF_SCOPED_KEYS(K){ NULL, NULL } };
static const struct entry domain_keys[] = { CONF_DOMAIN_KEYS(K){ NULL, NULL } };
static const struct entry binding_keys[] = { CONF_BINDING_KEYS(K){ NULL, NULL } };
static const struct entry listen_keys[] = { CONF_LISTEN_KEYS(K){ NULL, NULL } };
static const struct entry bucket_keys[] = { CONF_BUCKET_KEYS(K){ NULL, NULL } };
#undef K

static const struct {
	const char *name;
	const struct entry *keys;
	const struct value_row *rows; /* of the same keys in the same order */
} tables[] = {
	{ "global", conf_keys, value_conf_rows },
	{ "scoped", scoped_keys, value_scope_rows },
	{ "domain", domain_keys, value_scope_rows + sizeof scoped_keys / sizeof *scoped_keys - 1 },
	{ "binding", binding_keys, value_binding_rows },
	{ "listen", listen_keys, value_listen_rows },
	{ "bucket", bucket_keys, value_bucket_rows },
};

/* A sentence to a line, as mdoc wants it; nothing that a formatter could take for a request. */
static void
put_text(const char *z)
{
	for (bool start = true; *z != '\0'; z++) {
		if (start && (*z == '.' || *z == '\''))
			fputs("\\&", stdout);
		start = z[0] == ' ' && z[-1] == '.' && z[1] >= 'A' && z[1] <= 'Z';
		if (*z == '\\')
			fputs("\\e", stdout);
		else
			putchar(start ? '\n' : *z);
	}
	putchar('\n');
}

static void
put_facts(const struct value_row *row)
{
	struct buf range = { 0 };

	printf("A %s%s", value_type_word(row->type), row->def[0] != '\0' ? "; default\n.Ql " : "");
	if (row->def[0] != '\0')
		printf("%s", row->def);
	if (!row->list && row->max > 0) {
		value_number_put(&range, row->type, row->min);
		buf_puts(&range, " to ");
		value_number_put(&range, row->type, row->max);
		printf("%s%.*s", row->def[0] != '\0' ? " ;\n" : ", ", SLICE_ARG(slice_buf(&range)));
		puts(".");
	} else if (row->list && row->max > 0) {
		printf(" of at most %llu.\n", (unsigned long long)row->max);
	} else {
		puts(row->def[0] != '\0' ? " ." : ".");
	}
	buf_fini(&range);
}

static void
put_table(const char *name)
{
	const struct entry *keys = NULL;
	const struct value_row *row = NULL;

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		if (strcmp(tables[i].name, name) == 0) {
			keys = tables[i].keys;
			row = tables[i].rows;
		}
	if (keys == NULL)
		die(EXIT_DATA, "no table \"%s\"", name);
	puts(".Bl -tag -width Ds");
	for (const struct entry *e = keys; e->key != NULL; e++) {
		printf(".It Ic %s\n", e->key);
		put_facts(row++);
		put_text(e->help);
	}
	puts(".El");
}

int
main(void)
{
	static const char mark[] = ".\\\" KEYS ";
	char line[1024];

	while (fgets(line, sizeof line, stdin) != NULL) {
		if (strncmp(line, mark, sizeof mark - 1) != 0) {
			fputs(line, stdout);
			continue;
		}
		line[strcspn(line, "\n")] = '\0';
		put_table(line + sizeof mark - 1);
	}
	if (ferror(stdin) || fflush(stdout) != 0)
		die(EXIT_TEMP, "cannot copy the template");
	return 0;
}
