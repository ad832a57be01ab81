/* SPDX-License-Identifier: ISC */
#include "priv/landlock.h"

#include "priv/priv.h"

#include "../../check_main.h"
#include "jail.h"

#include <linux/capability.h>

struct entry {
	enum profile p;
	struct sandbox s;
};

/* local goes wherever homes may be, but neither to devices nor to the system's own files. */
static void
go_about(void *arg)
{
	static const struct {
		const char *path;
		int flags, err;
	} opens[] = {
		{ "/etc/passwd", O_RDONLY, 0 },
		{ "/etc/passwd", O_WRONLY, EACCES },
		{ "/usr", O_RDONLY | O_DIRECTORY, 0 },
		{ "/dev/null", O_RDONLY, EACCES },
		{ "/dev/null", O_WRONLY, EACCES },
		{ "/proc/self/status", O_RDONLY, EACCES },
		{ "/", O_RDONLY | O_DIRECTORY, 0 },
	};
	const struct entry *e = arg;
	int fd;

	priv_keep_caps(1U << CAP_SETUID | 1U << CAP_SETGID);
	jail_enter(e->p, &e->s, false);
	for (size_t i = 0; i < sizeof opens / sizeof *opens; i++) {
		fd = open(opens[i].path, opens[i].flags | O_CLOEXEC);
		JAIL_CHECK(opens[i].err == 0 ? fd >= 0 : fd < 0 && errno == opens[i].err);
		if (fd >= 0)
			close(fd);
	}
	fd = open("home/a", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	JAIL_CHECK(fd >= 0);
	close(fd);
	JAIL_CHECK(setresuid(999, 999, 999) != 0 && errno == EPERM);
	JAIL_CHECK(setresgid(0, 0, 0) != 0 && errno == EPERM);
	JAIL_CHECK(setresuid(-1U, 1000, -1U) == 0 && geteuid() == 1000);
	_exit(0);
}

START_TEST(local_goes_where_homes_are)
{
	static const enum profile rows[] = { PROFILE_LOCAL_PARENT, PROFILE_LOCAL_WORKER };
	struct entry e = { rows[_i], SANDBOX_INIT };
	char folder[64];

	jail_folder(folder);
	ck_assert_int_eq(mkdir("home", 0700), 0);
	ck_assert_int_eq(chown("home", JAIL_UID, JAIL_UID), 0);
	e.s.dir[SANDBOX_HOME] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	e.s.uid_min = 1000;
	ck_assert_int_eq(jail_child(go_about, &e), 0);
	jail_folder_remove(folder);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, local_goes_where_homes_are, 0, 2);
}

CHECK_MAIN("landlock", cases)
