/* SPDX-License-Identifier: ISC */
#include "priv/daemon_parts.h"

#include "base/die.h"
#include "base/log.h"
#include "conf/generation.h"
#include "priv/priv.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 511, NOFILE_WISH = 20000 };

struct options {
	bool check;
	int ready_fd;
};

static int
descriptor(const char *z)
{
	char *end;
	long v = strtol(z, &end, 10);

	if (*z < '0' || *z > '9' || *end != '\0' || v > 1 << 20)
		die(EXIT_USAGE, "-r takes the number of a descriptor");
	return (int)v;
}

static void
parse_options(struct daemon *d, struct options *o, int argc, char *argv[])
{
	enum { NO_SANDBOX = 256, SANDBOX_KILL };
	static const struct option longs[] = {
		{ "probe", no_argument, NULL, 'p' },
		{ "no-sandbox", no_argument, NULL, NO_SANDBOX },
		{ "sandbox-kill", no_argument, NULL, SANDBOX_KILL },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .ready_fd = -1 };
	while ((c = getopt_long(argc, argv, "c:npr:V", longs, NULL)) != -1)
		switch (c) {
		case 'c':
			d->config_file = optarg;
			break;
		case 'n':
			o->check = true;
			break;
		case 'p':
			d->probe = true;
			break;
		case 'r':
			o->ready_fd = descriptor(optarg);
			break;
		case NO_SANDBOX:
			d->sandbox_off = true;
			break;
		case SANDBOX_KILL:
			d->sandbox.kill = true;
			break;
		case 'V':
			printf("%s (Angarium) " DAEMON_VERSION "\n", service_word(d->self));
			exit(EXIT_SUCCESS);
		default: /* getopt(3) said why */
			exit(EXIT_USAGE);
		}
	if (optind != argc)
		die(EXIT_USAGE, "takes no operands");
}

static _Noreturn void
check_only(const struct daemon *d)
{
	struct conf *c;
	struct buf err = { 0 };
	int rc = conf_check(d->config_file, &c, &err);

	if (rc != 0)
		die(rc == -EINVAL ? EXIT_CONFIG : EXIT_TEMP, "%.*s", (int)err.n, err.p);
	conf_unref(c);
	exit(EXIT_SUCCESS);
}

/* As far as we may: the rows of profiles.h lower it. */
static void
raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= NOFILE_WISH)
		return;
	r.rlim_cur = NOFILE_WISH;
	if (r.rlim_max < NOFILE_WISH)
		r.rlim_max = NOFILE_WISH;
	if (setrlimit(RLIMIT_NOFILE, &r) == 0 || getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

/* What this process is to the kernel, inherited by all it forks. */
static void
settle(void)
{
	struct sched_param none = { 0 };
	sigset_t empty;

	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write past the limit is EFBIG */
	signal(SIGHUP, SIG_IGN);  /* until the loop takes it: a reload too early must not kill */
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	/*
	 * Fewer switches between the processes of the house; a kernel without it is none the
	 * worse.
	 */
	sched_setscheduler(0, SCHED_BATCH, &none);
	raise_nofile();
	tzset(); /* reads /etc/localtime, which is out of reach later */
}

static void
find_ids(struct daemon *d)
{
	int err = ids_load(&d->ids, (uint32_t)d->conf->id_base);

	if (err != 0)
		die(EXIT_CONFIG, "users of the suite: %s", strerror(-err));
	if (d->ids.uid[d->self] == IDS_NONE || d->ids.gid[d->self] == IDS_NONE)
		die(EXIT_CONFIG, "no user and group %s; make them, or set id_base",
		    service_user(d->self));
}

void
daemon_start(struct daemon *d, enum service self, int argc, char *argv[])
{
	struct options o;
	int err;

	*d = (struct daemon){
		.self = self, .config_file = DAEMON_CONFIG_FILE, .sandbox = SANDBOX_INIT
	};
	setproctitle_init(argc, argv, environ); /* moves argv: before anybody keeps a word of it */
	parse_options(d, &o, argc, argv);
	if (o.check)
		check_only(d);
	if (geteuid() != 0)
		die(EXIT_NOPERM, "must be started as root; it gives that up");
	daemon_take_fds(d, o.ready_fd);
	settle();
	log_open(self);
	err = notify_open(&d->notify, o.ready_fd);
	if (err != 0)
		complain("NOTIFY_SOCKET: %s; nobody will be told of readiness", strerror(-err));
	daemon_load(d);
	d->generation = d->conf->generation;
	log_set_generation(d->generation);
	if ((d->conf->sandbox_off >> self & 1) != 0)
		d->sandbox_off = true;
	d->sandbox.uid_min = (uint32_t)d->conf->local_uid_min;
	find_ids(d);
	if (d->probe)
		daemon_probe(d);
}

static void
enter(struct daemon *d, enum profile p)
{
	d->profile = p;
	if (!d->sandbox_off) {
		sandbox_enter(p, &d->sandbox);
		return;
	}
	log_begin(LOG_SANDBOX_OFF);
	log_z(LOGK_DETAIL, profile_row(p)->word);
	log_end();
}

static void
log_started(const struct daemon *d)
{
	log_begin(LOG_STARTED);
	log_z(LOGK_DETAIL, profile_row(d->profile)->word);
	log_end();
}

void
daemon_drop(struct daemon *d, enum profile p)
{
	/* local reaches homes and LMTP sockets, router tables and what the C library asks for users,
	 * wherever they are: their root stays. */
	priv_drop(d->ids.uid[d->self], d->ids.gid[d->self],
	    d->self != SERVICE_LOCAL && d->self != SERVICE_ROUTER);
	/* Only now, see daemon.h; and before the list of calls, which lacks listen(2). */
	for (unsigned i = 0; i < d->nbound; i++)
		if (listen(d->bound[i], BACKLOG) != 0)
			die(EXIT_TEMP, "listen: %s", strerror(errno));
	enter(d, p);
}

void
daemon_worker_enter(struct daemon *d, enum profile p)
{
	/*
	 * The supervisor hears the parent only. Nothing is closed here: brood has, and what was
	 * opened since may have the same numbers.
	 */
	d->notify = (struct notify){ .socket = -1, .ready = -1 };
	log_open(d->self);
	enter(d, p);
	log_started(d);
}

uid_t
daemon_uid_of(enum service s, void *arg)
{
	const struct daemon *d = arg;

	return (unsigned)s < SERVICE_COUNT ? d->ids.uid[s] : IDS_NONE;
}

void
daemon_ready(struct daemon *d)
{
	notify_ready(&d->notify);
	if (d->ready)
		return;
	d->ready = true;
	log_started(d);
}

void
daemon_reloading(struct daemon *d)
{
	struct timespec now;
	char lines[64];

	/* The protocol wants the time, to tell this from an older one. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify_say(&d->notify, lines);
}

void
daemon_stopping(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	notify_say(&d->notify, "STOPPING=1");
	log_begin(LOG_STOPPED);
	log_end();
}

int
daemon_stop(struct daemon *d)
{
	daemon_stopping(d);
	notify_close(&d->notify);
	conf_unref(d->conf);
	d->conf = NULL;
	return EXIT_SUCCESS;
}
