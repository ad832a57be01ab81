/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail_caller.h"

#include "base/clock.h"
#include "ctl/submit_phrase.h"
#include "smtp/path.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GETENT_MAX = 64 << 10 }; /* of a line */

static void
read_all(int fd, struct buf *out)
{
	ssize_t n;

	do {
		n = read(fd, buf_room(out, 512), 512);
		out->n += n > 0 ? (size_t)n : 0;
	} while (out->n < GETENT_MAX && (n > 0 || (n < 0 && errno == EINTR)));
}

/*
 * The passwd line of the uid by what nsswitch.conf names, "" if there is none. A static program
 * reads /etc/passwd and no more; it cannot load the modules that ask LDAP and the like.
 */
static void
ask_getent(uid_t uid, struct buf *line)
{
	char self[] = "getent", database[] = "passwd", number[24];
	char *argv[] = { self, database, number, NULL };
	posix_spawn_file_actions_t actions;
	int ends[2], err;
	pid_t pid;

	snprintf(number, sizeof number, "%lu", (unsigned long)uid);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	err = posix_spawn(&pid, "/usr/bin/getent", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (err == 0)
		read_all(ends[0], line);
	close(ends[0]);
	if (err == 0)
		waitpid(pid, NULL, 0);
}

/* Field `n` of a passwd line, from 0; empty if it has none. passwd(5) */
static struct slice
field(struct slice line, unsigned n)
{
	ptrdiff_t end = slice_find(line, '\n');

	line = end < 0 ? line : slice_head(line, (size_t)end);
	for (; (end = slice_find(line, ':')) >= 0 && n > 0; n--)
		line = slice_from(line, (size_t)end + 1);
	if (n > 0)
		return SLICE_NONE;
	return end < 0 ? line : slice_head(line, (size_t)end);
}

/* Login and gecos field, which may be empty. */
static void
look_up(uid_t uid, struct buf *login, struct buf *gecos)
{
	const struct passwd *pw = getpwuid(uid);
	struct buf line = { 0 };

	if (pw != NULL) {
		buf_puts(login, pw->pw_name);
		buf_puts(gecos, pw->pw_gecos);
		return;
	}
	ask_getent(uid, &line);
	buf_slice(login, field(slice_buf(&line), 0));
	buf_slice(gecos, field(slice_buf(&line), 4));
	buf_fini(&line);
}

/* A name that no address can hold is as good as none. */
static bool
fit_for_address(struct slice login)
{
	struct buf quoted = { 0 };
	bool fits = login.n > 0 && path_print_quoted(&quoted, login) && quoted.n <= PATH_LOCAL_MAX;

	buf_fini(&quoted);
	return fits;
}

void
sendmail_caller_look(struct sendmail_caller *c, const char *given_name)
{
	struct buf gecos = { 0 };

	*c = (struct sendmail_caller){ .uid = getuid() };
	look_up(c->uid, &c->login, &gecos);
	if (!fit_for_address(slice_buf(&c->login))) {
		buf_reset(&c->login);
		buf_printf(&c->login, "uid-%lu", (unsigned long)c->uid);
	}
	if (given_name == NULL)
		given_name = getenv("NAME");
	if (given_name != NULL)
		buf_puts(&c->name, given_name);
	else if (gecos.n > 0)
		submit_phrase_gecos(&c->name, slice_buf(&gecos), slice_buf(&c->login));
	buf_fini(&gecos);
}

void
sendmail_caller_fini(struct sendmail_caller *c)
{
	buf_fini(&c->login);
	buf_fini(&c->name);
}

/* The first line of the file. */
static struct slice
read_mailname(char *line, size_t size)
{
	int fd = open("/etc/mailname", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, line, size);
	struct slice s = slice_of(line, n > 0 ? (size_t)n : 0);
	ptrdiff_t lf = slice_find(s, '\n');

	if (fd >= 0)
		close(fd);
	return slice_trim(lf < 0 ? s : slice_head(s, (size_t)lf));
}

void
sendmail_caller_origin(struct buf *out)
{
	char line[PATH_DOMAIN_MAX + 2];
	struct slice domain = read_mailname(line, sizeof line);
	struct utsname node;

	if (!path_domain_valid(domain, 0) && uname(&node) == 0)
		domain = slice_z(node.nodename);
	buf_slice(out, path_domain_valid(domain, 0) ? domain : SLICE_LIT("localhost"));
}

int
sendmail_caller_zone_min(uint64_t wall_us)
{
	time_t t = (time_t)(wall_us / 1000000);
	struct tm tm;

	return localtime_r(&t, &tm) == NULL ? 0 : (int)(tm.tm_gmtoff / 60);
}

uint64_t
sendmail_caller_random(void)
{
	uint64_t v;

	if (getrandom(&v, sizeof v, 0) != (ssize_t)sizeof v)
		v = clock_wall_us() << 16 ^ (uint64_t)getpid();
	return v;
}
