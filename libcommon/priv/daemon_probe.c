/* SPDX-License-Identifier: ISC */
#include "priv/daemon_parts.h"

#include "base/die.h"
#include "conf/conf.h"
#include "priv/priv.h"
#include "priv/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The parent stays root and outside; each row is entered by a child of its own, in a scratch
 * folder that is its root directory. Folders of the configuration that exist are given to the
 * rules, nothing in them is touched.
 */

struct scratch {
	char dir[32], abstract[32];
	struct probe_env env;
	int listener;
};

/* A file of the service's user: what refuses is the sandbox, not its mode. */
static int
scratch_file(const struct daemon *d, const char *name)
{
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, "accepted", 8) != 8 ||
	    fchown(fd, d->ids.uid[d->self], d->ids.gid[d->self]) != 0)
		die(EXIT_TEMP, "%s: %s", name, strerror(errno));
	return fd;
}

/*
 * Somebody outside whom a fallen process would like to reach: same user, and a name to connect to.
 */
static void
make_outsider(const struct daemon *d, struct scratch *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n;

	snprintf(s->abstract, sizeof s->abstract, "angarium-probe-%d", (int)getpid());
	n = strlen(s->abstract);
	memcpy(sun.sun_path + 1, s->abstract, n);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s->listener < 0 ||
	    bind(s->listener, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) != 0 ||
	    listen(s->listener, 5) != 0)
		die(EXIT_TEMP, "probe: %s", strerror(errno));
	s->env.outsider = fork();
	if (s->env.outsider == 0) {
		priv_drop(d->ids.uid[d->self], d->ids.gid[d->self], false);
		for (;;)
			pause();
	}
}

static void
prepare(const struct daemon *d, struct scratch *s)
{
	slice_copy(SLICE_LIT("/tmp/angarium-probe-XXXXXX"), s->dir, sizeof s->dir);
	/* The service's own, so that no mode refuses what the sandbox must refuse. */
	if (mkdtemp(s->dir) == NULL || chdir(s->dir) != 0 ||
	    chown(".", d->ids.uid[d->self], d->ids.gid[d->self]) != 0)
		die(EXIT_TEMP, "probe: %s: %s", s->dir, strerror(errno));
	s->env = (struct probe_env){
		.out = STDOUT_FILENO, .landlock_abi = sandbox_landlock_abi(), .victim = "file"
	};
	s->env.segment = scratch_file(d, "segment");
	close(scratch_file(d, "file"));
	make_outsider(d, s);
	s->env.abstract = s->abstract;
}

static void
clear(struct scratch *s)
{
	/* The last ones are there only if the sandbox failed. */
	static const char *const names[] = { "segment", "file", "probe-moved", "probe-made",
		"probe-symlink", "probe-fifo", "probe-link" };

	if (s->env.outsider > 0) {
		kill(s->env.outsider, SIGKILL);
		waitpid(s->env.outsider, NULL, 0);
	}
	close(s->env.segment);
	close(s->listener);
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		unlink(names[i]);
	rmdir("probe-dir");
	if (chdir("/") != 0 || rmdir(s->dir) != 0)
		complain("probe: %s: %s", s->dir, strerror(errno));
}

static int
wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return EXIT_TEMP;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SOFTWARE;
}

/* As in life: a worker's sandbox within its parent's. */
static _Noreturn void
probe_inside(struct daemon *d, const struct scratch *s, enum profile p)
{
	enum profile parent = profile_row(p)->parent;
	struct probe_env env = s->env;
	pid_t pid;

	env.profile = p;
	/* As in life: who becomes others kept what that takes, a recipient's process did not. */
	if ((profile_row(p)->calls & CALLS_BECOME) != 0)
		priv_keep_caps(1U << CAP_SETUID | 1U << CAP_SETGID);
	priv_drop(d->ids.uid[d->self], d->ids.gid[d->self], true);
	if (!d->sandbox_off)
		sandbox_enter(parent, &d->sandbox);
	/* As in life: a recipient's process has entered one folder, which is none of these. */
	if (parent != p) {
		if (p == PROFILE_LOCAL_CHILD)
			d->sandbox.dir[SANDBOX_HOME] = -1;

		pid = fork();
		if (pid != 0)
			_exit(wait_for(pid));
		if (!d->sandbox_off)
			sandbox_enter(p, &d->sandbox);
	}
	_exit(probe_run(&env) ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void
open_folders(struct daemon *d)
{
	char conf[PATH_MAX];
	const char *names[SANDBOX_DIR_COUNT] = { [SANDBOX_CONF] = conf,
		[SANDBOX_SPOOL] = d->conf->spool_dir,
		[SANDBOX_DROP] = d->conf->drop_dir,
		[SANDBOX_LOG] = d->conf->log_dir,
		[SANDBOX_HOME] = "/",
		[SANDBOX_CACHE] = d->conf->cache_dir };

	snprintf(conf, sizeof conf, "%s/conf", d->conf->run_dir);
	for (unsigned i = 0; i < SANDBOX_DIR_COUNT; i++)
		d->sandbox.dir[i] =
		    names[i] == NULL ? -1 : open(names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void
daemon_probe(struct daemon *d)
{
	struct scratch s;
	int worst = EXIT_SUCCESS, status;
	pid_t pid;

	d->sandbox.kill = false; /* one refusal would end it all */
	open_folders(d);
	for (unsigned p = 0; p < PROFILE_COUNT; p++) {
		if (profile_row((enum profile)p)->service != d->self)
			continue;
		prepare(d, &s); /* anew for each: one that stands open may have harmed it */
		printf("profile %s%s\n", profile_row((enum profile)p)->word,
		    d->sandbox_off ? " off" : "");
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			probe_inside(d, &s, (enum profile)p);
		status = wait_for(pid);
		if (status > worst)
			worst = status;
		clear(&s);
	}
	exit(worst);
}
