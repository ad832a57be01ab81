/* SPDX-License-Identifier: ISC */
#ifndef PRIV_DAEMON_H
#define PRIV_DAEMON_H

#include "priv/ids.h"
#include "priv/notify.h"
#include "priv/sandbox.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What every main shares, in the order in which privileges are given away:
 *
 *	daemon_start(&d, SERVICE_QMGR, argc, argv);     as root: options, configuration, run folder
 *	edge = daemon_bind_edge(&d, SERVICE_SMTPD);     as root: sockets, folders, ports
 *	ctl = daemon_bind_ctl(&d);
 *	spool = daemon_open_dir(&d, SANDBOX_SPOOL);
 *	loop = loop_new();
 *	daemon_drop(&d, PROFILE_QMGR);                  own user, root directory, system calls
 *	daemon_ready(&d);
 *	loop_run(loop);
 *	return daemon_stop(&d);
 *
 * The working directory is the run folder from daemon_start() on, and after daemon_drop() it is the
 * root directory as well: all names are relative ("edge/router.qmgr/s", "conf"), so neither the
 * length nor the mode of a folder above matters.
 *
 * Roots and workers. A parent (smtpd, deliver) forks workers after its drop and could not give
 * them an empty root: chroot(2) needs a capability, and a parent that kept CAP_SYS_CHROOT to hand
 * it down would hold a power for life that is used once. So a parent changes its root once, to the
 * run folder, and its workers stay there with no call in their list that takes a path (class
 * local: only beneath the drop folder) and a Landlock domain without any path. What such a worker
 * can still learn is whether a name below the run folder exists (newfstatat must stand in the
 * list, glibc's fstat(3) is made of it).
 *
 * A step that fails ends the process: exit 78 for the configuration, 64 for options, 77 when not
 * root, else 75, and one line that says which.
 */
struct conf;

#define DAEMON_VERSION "0.1"
#define DAEMON_CONFIG_FILE "/etc/angarium/angarium.conf"

enum { DAEMON_LISTEN_MAX = 64, DAEMON_BOUND_MAX = SERVICE_COUNT + 2 };

struct daemon {
	enum service self;
	const struct conf *conf; /* the newest generation; the daemon replaces it when it reloads */
	uint32_t generation;
	const char *config_file;
	struct ids ids;
	struct notify notify;
	struct sandbox sandbox;
	bool sandbox_off;     /* as told by name; user and root are changed all the same */
	enum profile profile; /* since daemon_drop() or daemon_worker_enter() */
	bool probe;
	bool ready, stopping;
	unsigned nbound;
	int bound[DAEMON_BOUND_MAX]; /* for daemon_drop(), which makes them listen */
	unsigned nlisten;
	struct {
		int fd; /* -1: taken */
		char name[64];
	} listen[DAEMON_LISTEN_MAX];
};

/*
 * Options: -c FILE, -n (check the configuration and exit), -p or --probe, --no-sandbox,
 * --sandbox-kill (a call outside the list ends the process), -r FD (tells readiness as s6 has it),
 * -V.
 *
 * Closes stray descriptors, sets umask 077 and SCHED_BATCH, ignores SIGPIPE, SIGXFSZ and, until
 * the loop has it, SIGHUP; opens the log; looks up ids; makes and enters the run folder; loads the
 * newest configuration generation or publishes the first. Where the file has become wrong
 * meanwhile, the newest generation serves on and the log says so: a service that dies while an
 * administrator edits comes back.
 *
 * With --probe it does not return: in a scratch folder, for each row of the service (a parent and
 * its kinds of workers), a child drops, enters and tries what must be refused (probe.h); it exits
 * 0 only if nothing stood open. It touches no socket or file of a service that runs.
 */
void daemon_start(struct daemon *d, enum service self, int argc, char *argv[]);

/*
 * Listening descriptors, non-blocking and close-on-exec, made as root and owned by the caller.
 * bind_edge: edge/<self>.<asker>/s, SOCK_SEQPACKET, in a folder that only self and asker may
 * enter; the uid of each peer is still to be checked. bind_ctl: ctl/<self>, SOCK_SEQPACKET, for
 * all users: SO_PEERCRED decides. bind_submit: submit/s, SOCK_STREAM, likewise; where init passes a
 * socket of the name "submit", that one.
 *
 * They listen from daemon_drop() on: what SO_PEERCRED shows to who connects is who called
 * listen(2), and that has to be the service's user.
 */
int daemon_bind_edge(struct daemon *d, enum service asker);
int daemon_bind_ctl(struct daemon *d);
int daemon_bind_submit(struct daemon *d);

/*
 * A socket from init by its name in LISTEN_FDNAMES ("unknown" without), non-blocking, owned by the
 * caller; -1: none is left.
 */
int daemon_listen_fd(struct daemon *d, const char *name);

/*
 * The folder of the configuration that the slot names, opened for reading and given to the sandbox
 * rules; made where missing, with the owner and mode it must have:
 *	SANDBOX_SPOOL  spool_dir, self, 0700
 *	SANDBOX_DROP   drop_dir, smtpd and group drop, 3733
 *	SANDBOX_CACHE  cache_dir, self, 0700
 *	SANDBOX_LOG    log_dir, self, 0750 and group adm of the suite
 *	SANDBOX_RULES  the folder in which bounce_rules lies, as it is; -1 where there is none
 *	SANDBOX_HOME   the tree itself: local, whose children find the recipients' folders in it
 *	SANDBOX_CONF   run_dir/conf (done by daemon_start)
 * The descriptor stays open for the life of the process and its workers.
 */
int daemon_open_dir(struct daemon *d, enum sandbox_dir slot);

/*
 * The folder of this file becomes readable in the sandbox of the profile, and is held for
 * place_name() (base/place.h): for tables, wherever they are; workers keep it by brood_keep().
 * Nothing happens where it is not there, or the sandbox has room for no more (SANDBOX_MORE_MAX).
 */
void daemon_open_more(struct daemon *d, const char *file);

/* chroot, user, listen, sandbox. Threads are started after this. */
void daemon_drop(struct daemon *d, enum profile p);
/*
 * In a forked worker, which holds no descriptor of its parent's but those it was to keep
 * (ipc/brood.h): its own, narrower sandbox. Its log names its own pid from here on.
 */
void daemon_worker_enter(struct daemon *d, enum profile p);

/* uid of a service, for peer_listen(), peer_dial(), brood_new(): arg is the struct daemon. */
uid_t daemon_uid_of(enum service s, void *arg);

/*
 * At SIGHUP: the newest generation becomes d->conf, or the old one stays and the log says why. take
 * is told of the new one while the old one still stands.
 */
typedef void daemon_take_fn(struct conf *fresh, void *arg);
void daemon_reload(struct daemon *d, daemon_take_fn *take, void *arg);

void daemon_ready(struct daemon *d);	 /* serves; the first time that is logged */
void daemon_reloading(struct daemon *d); /* then daemon_ready() again */
void daemon_stopping(struct daemon *d);	 /* ends as told, may take a while; logged */
int daemon_stop(struct daemon *d);	 /* the exit status of main */

#endif
