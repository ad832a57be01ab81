/* SPDX-License-Identifier: ISC */
/*
 * newaliases: makes the database of aliases(5) anew. For root, or whoever owns the files; needs no
 * service, no network and no name server.
 *
 * Files: reads the configuration and the text; writes the database aside and renames it.
 */
#include "base/die.h"
#include "conf/conf.h"
#include "smtp/path.h"
#include "table/alias.h"
#include "table/table_tdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG "/etc/angarium/angarium.conf"
enum { TEXT_MAX = 256 << 20, ROWS_MAX = TEXT_MAX };

struct building {
	const char *file;
	struct table_maker *maker;
	uint64_t names, longest, bytes;
	int error;
};

static void
on_name(void *ctx, unsigned line, struct slice name, struct slice rows)
{
	struct building *b = ctx;
	int rc = b->error != 0 ? b->error : table_maker_put(b->maker, name, rows);

	if (rc < 0) {
		b->error = rc;
		return;
	}
	if (rc == 0) {
		fprintf(stderr, "%s:%u: %.*s stands there twice: the first one counts\n", b->file,
		    line, SLICE_ARG(name));
		return;
	}
	b->names++;
	b->bytes += rows.n;
	if (rows.n > b->longest)
		b->longest = rows.n;
}

static const char *
on_value(void *ctx, const struct alias_value *v)
{
	struct path to;

	(void)ctx;
	if (v->kind != ALIAS_ADDRESS && v->kind != ALIAS_LAST)
		return NULL;
	return path_address(v->text, PATH_UTF8 | PATH_UNQUALIFIED, &to) == PATH_OK
		   ? NULL
		   : "a value is no address";
}

static void
on_wrong(void *ctx, unsigned line, const char *why)
{
	const struct building *b = ctx;

	fprintf(stderr, "%s:%u: %s\n", b->file, line, why);
}

static int
read_file(const char *path, struct buf *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > TEXT_MAX) {
		close(fd);
		return -EFBIG;
	}
	while (got > 0 && text->n <= TEXT_MAX) {
		got = read(fd, buf_room(text, 65536), 65536);
		if (got > 0)
			text->n += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	close(fd);
	return got < 0 ? -EIO : got > 0 ? -EFBIG : 0;
}

static const struct conf *
configuration(const char *file)
{
	const char *root = getenv("ANGARIUM_ROOT");
	struct buf text = { 0 }, err = { 0 }, name = { 0 };
	struct conf *c;
	int rc;

	if (file == NULL && root != NULL && root[0] == '/')
		buf_printf(&name, "%s/angarium.conf%c", root, 0);
	else
		buf_printf(&name, "%s%c", file != NULL ? file : CONFIG, 0);
	rc = read_file(name.p, &text);
	if (rc == -ENOENT && file == NULL)
		rc = 0; /* the defaults */
	if (rc != 0)
		die(EXIT_CONFIG, "%s: %s", name.p, strerror(-rc));
	if (conf_parse(slice_buf(&text), name.p, &c, &err) != 0)
		die(EXIT_CONFIG, "%.*s", SLICE_ARG(slice_buf(&err)));
	buf_fini(&text);
	buf_fini(&err);
	buf_fini(&name);
	return c;
}

static int
trouble(const char *path, int error)
{
	complain("%s: %s", path, strerror(-error));
	return error == -EACCES || error == -EPERM			 ? EXIT_NOPERM
	       : error == -ENOSPC || error == -EDQUOT || error == -EROFS ? EXIT_CANTCREAT
									 : EXIT_TEMP;
}

static int
build(const char *file, const char *database)
{
	struct building b = { .file = file };
	const struct alias_reader to = { on_name, on_value, on_wrong, &b };
	struct buf text = { 0 };
	int rc = read_file(file, &text);
	unsigned bad;

	if (rc != 0) {
		complain("%s: %s", file, strerror(-rc));
		return rc == -ENOENT ? EXIT_DATA : rc == -EACCES ? EXIT_NOPERM : EXIT_TEMP;
	}
	rc = table_maker_new(database, &b.maker);
	if (rc != 0) {
		buf_fini(&text);
		return trouble(database, rc);
	}
	bad = alias_read(slice_buf(&text), &to);
	buf_fini(&text);
	if (bad > 0 || b.error != 0) {
		table_maker_drop(b.maker);
		if (b.error != 0)
			return trouble(database, b.error);
		complain("%s is left as it was", database);
		return EXIT_DATA;
	}
	rc = table_maker_commit(b.maker);
	if (rc != 0)
		return trouble(database, rc);
	printf("%s: %llu aliases, longest %llu bytes, %llu bytes total\n", file,
	    (unsigned long long)b.names, (unsigned long long)b.longest,
	    (unsigned long long)b.bytes);
	return fflush(stdout) == 0 ? 0 : EXIT_TEMP;
}

int
main(int argc, char *argv[])
{
	const char *config = NULL, *file = NULL;
	const struct conf *c;
	struct buf database = { 0 };
	int option, code;

	while ((option = getopt(argc, argv, "c:A:")) != -1) {
		if (option == 'c')
			config = optarg;
		else if (option == 'A')
			file = optarg;
		else
			return EXIT_USAGE;
	}
	if (optind < argc)
		die(EXIT_USAGE, "usage: newaliases [-c FILE] [-A ALIASES]");
	/* Whoever may not write there could only fail later, and less clearly. */
	if (getuid() != 0 && file == NULL && config == NULL)
		die(EXIT_NOPERM, "only root may rebuild the alias database");
	c = configuration(config);
	if (file != NULL)
		buf_printf(&database, "%s.db%c", file, 0);
	else if (c->alias_file == NULL)
		die(EXIT_CONFIG, "the configuration says that there are no aliases");
	else
		buf_printf(&database, "%s%c", c->alias_database, 0);
	code = build(file != NULL ? file : c->alias_file, database.p);
	buf_fini(&database);
	conf_unref(c);
	return code;
}
