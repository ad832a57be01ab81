/* SPDX-License-Identifier: ISC */
#include "priv/daemon_parts.h"

#include "base/die.h"
#include "base/log.h"
#include "conf/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Services walk through as their own users; only root may plant names. */
static void
enter_run_dir(const char *path)
{
	struct stat st;
	int fd;

	if (path[0] != '/')
		die(EXIT_CONFIG, "run_dir: %s is no absolute path", path);
	fd = daemon_make_dir(path, "run_dir");
	if (fstat(fd, &st) != 0)
		die(EXIT_TEMP, "run_dir: %s: %s", path, strerror(errno));
	if (st.st_uid != 0 || (st.st_mode & 022) != 0)
		die(EXIT_CONFIG, "run_dir: %s must belong to root, and nobody else may write there",
		    path);
	if (((st.st_mode & 07777) != 0755 && fchmod(fd, 0755) != 0) || fchdir(fd) != 0)
		die(EXIT_TEMP, "run_dir: %s: %s", path, strerror(errno));
	close(fd);
}

static _Noreturn void
end(int rc, const struct buf *err)
{
	die(rc == -EINVAL ? EXIT_CONFIG : EXIT_TEMP, "%.*s", (int)err->n, err->p);
}

/* A file that is wrong and has no generation ends the start before anything is made for it. */
static void
check(struct daemon *d, const char *run_dir, struct buf *err)
{
	struct conf *c;
	struct stat st;
	int rc = conf_check(d->config_file, &c, err);

	if (rc == 0 && d->probe)
		d->conf = c;
	else if (rc == 0)
		conf_unref(c);
	else if (d->probe || stat(run_dir, &st) != 0)
		end(rc, err);
}

void
daemon_load(struct daemon *d)
{
	struct buf run_dir = { 0 }, wrong = { 0 }, err = { 0 };
	char *path = realpath(d->config_file, NULL); /* the working directory changes below */
	struct conf *c;
	int rc;

	conf_run_dir(d->config_file, &run_dir);
	buf_putc(&run_dir, '\0');
	check(d, run_dir.p, &wrong);
	if (!d->probe) {
		enter_run_dir(run_dir.p);
		d->sandbox.dir[SANDBOX_CONF] = daemon_run_part("conf");
		rc = conf_start(AT_FDCWD, path != NULL ? path : d->config_file, &c, &err);
		if (rc != 0)
			end(rc, &err);
		d->conf = c;
		if (wrong.n > 0)
			log_trouble(0, "generation %u serves on, since the file is wrong: %.*s",
			    c->generation, (int)wrong.n, wrong.p);
	}
	free(path);
	buf_fini(&run_dir);
	buf_fini(&wrong);
	buf_fini(&err);
}

void
daemon_reload(struct daemon *d, daemon_take_fn *take, void *arg)
{
	struct conf *fresh;
	struct buf err = { 0 };

	if (conf_load_newest(AT_FDCWD, &fresh, &err) != 0) {
		log_begin(LOG_RELOAD_FAILED);
		log_str(LOGK_ERROR, slice_buf(&err));
		log_end();
	} else {
		take(fresh, arg);
		conf_unref(d->conf);
		d->conf = fresh;
		d->generation = fresh->generation;
		log_set_generation(fresh->generation);
		log_begin(LOG_RELOADED);
		log_end();
	}
	buf_fini(&err);
}
