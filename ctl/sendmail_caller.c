/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail_caller.h"

#include "base/clock.h"
#include "ctl/submit_phrase.h"
#include "smtp/path.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

void
sendmail_caller_look(struct sendmail_caller *c, const char *given_name)
{
	struct passwd *pw;
	struct buf quoted = { 0 };

	*c = (struct sendmail_caller){ .uid = getuid() };
	pw = getpwuid(c->uid);
	/* A name that no address can hold is as good as none. */
	if (pw != NULL && pw->pw_name[0] != '\0' &&
	    path_print_quoted(&quoted, slice_z(pw->pw_name)) && quoted.n <= PATH_LOCAL_MAX)
		buf_puts(&c->login, pw->pw_name);
	else
		buf_printf(&c->login, "uid-%lu", (unsigned long)c->uid);
	buf_fini(&quoted);
	if (given_name == NULL)
		given_name = getenv("NAME");
	if (given_name != NULL)
		buf_puts(&c->name, given_name);
	else if (pw != NULL)
		submit_phrase_gecos(&c->name, slice_z(pw->pw_gecos), slice_buf(&c->login));
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
