/* SPDX-License-Identifier: ISC */
/*
 * angctl: what an operator asks the services and tells them. Talks to their control sockets, reads
 * the spool and the configuration itself where a command works without the services. See angctl(8).
 */
#include "ctl/angctl.h"

#include "base/buf.h"
#include "conf/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG "/etc/angarium/angarium.conf"

static const struct column queue_columns[] = {
	{ "queue", "QUEUE", 6 },
	{ "domain", "DOMAIN", -30 },
	{ "transport", "VIA", -5 },
	{ "ready", "READY", 8 },
	{ "running", "RUNNING", 8 },
	{ "deferred", "DEFERRED", 9 },
	{ "held", "HELD", 6 },
	{ "down_ms", "DOWN ms", 8 },
	{ "suspended", "SUSPENDED", 9 },
	{ "", NULL, 0 },
};
static const struct column list_columns[] = {
	{ "id", "ID", -14 },
	{ "state", "STATE", -9 },
	{ "size", "SIZE", 10 },
	{ "arrival_ms", "ARRIVAL", -20 },
	{ "sender", "SENDER", -1 },
	{ "", NULL, 0 },
};
static const struct column rcpt_columns[] = {
	{ "address", NULL, -30 },
	{ "state", NULL, -9 },
	{ "reason", NULL, -1 },
	{ "", NULL, 0 },
};
static const struct column why_columns[] = {
	{ "address", "RECIPIENT", -30 },
	{ "attempts", "TRIED", 5 },
	{ "cause", "CAUSE", -11 },
	{ "why", "WHY", -1 },
	{ "", NULL, 0 },
};
static const struct column host_columns[] = {
	{ "host", "HOST", -30 },
	{ "address", "ADDRESS", -16 },
	{ "port", "PORT", 5 },
	{ "rest_ms", "REST ms", 9 },
	{ "failures", "FAILURES", 8 },
	{ "reason", "REASON", -1 },
	{ "", NULL, 0 },
};
static const struct column limit_columns[] = {
	{ "kind", "KIND", -11 },
	{ "name", "NAME", -20 },
	{ "queues", "QUEUES", 6 },
	{ "waiting", "WAIT", 5 },
	{ "connections", "CONN", 5 },
	{ "connections_idle", "IDLE", 5 },
	{ "connections_max", "MAX", 6 },
	{ "connection_rate", "CONNECTIONS", -18 },
	{ "connections_left", "LEFT", 5 },
	{ "message_rate", "MESSAGES", -18 },
	{ "messages_left", "LEFT", 5 },
	{ "", NULL, 0 },
};
static const struct column log_columns[] = {
	{ "time", NULL, -27 },
	{ "service", NULL, -8 },
	{ "event", NULL, -12 },
	{ "*", NULL, -1 },
	{ "", NULL, 0 },
};

static const struct column dns_columns[] = {
	{ "name", "NAME", -30 },
	{ "type", "TYPE", -5 },
	{ "status", "STATUS", -8 },
	{ "ttl_s", "TTL", 6 },
	{ "records", "RECORDS", -1 },
	{ "", NULL, 0 },
};

/* Commands that are a verb of one service. */
struct verb {
	const char *words; /* as typed, blanks between */
	enum service service;
	const char *verb;
	int min, max; /* further words */
	const char *usage;
	const struct column *columns;
	const char *nested;
	const struct column *nested_columns;
};
static const struct verb verbs[] = {
	{ "queue list", SERVICE_QMGR, "list", 0, 16,
	    "[state=S] [domain=D] [sender=A] [recipient=A]", list_columns, "recipients",
	    rcpt_columns },
	{ "queue show", SERVICE_QMGR, "show", 1, 1, "ID", NULL, "recipients", rcpt_columns },
	{ "queue failed", SERVICE_QMGR, "failed", 0, 0, "", list_columns, "recipients",
	    rcpt_columns },
	{ "queue hold", SERVICE_QMGR, "hold", 1, 2, "ID [REASON]", NULL, NULL, NULL },
	{ "queue release", SERVICE_QMGR, "release", 1, 1, "ID", NULL, NULL, NULL },
	{ "queue retry", SERVICE_QMGR, "retry", 1, 1, "ID", NULL, NULL, NULL },
	{ "queue delete", SERVICE_QMGR, "delete", 1, 1, "ID", NULL, NULL, NULL },
	{ "queue fail", SERVICE_QMGR, "fail", 1, 2, "ID [REASON]", NULL, NULL, NULL },
	{ "queue flush", SERVICE_QMGR, "flush", 0, 1, "[domain=D]", NULL, NULL, NULL },
	{ "queue suspend", SERVICE_QMGR, "suspend", 1, 2, "WHAT [REASON]", NULL, NULL, NULL },
	{ "queue resume", SERVICE_QMGR, "resume", 1, 1, "WHAT", NULL, NULL, NULL },
	{ "queue hosts", SERVICE_QMGR, "hosts", 0, 0, "", host_columns, NULL, NULL },
	{ "queue limits", SERVICE_QMGR, "limits", 0, 0, "", limit_columns, NULL, NULL },
	{ "queue why", SERVICE_QMGR, "why", 1, 1, "ID", NULL, NULL, NULL },
	{ "queue", SERVICE_QMGR, "queue", 0, 0, "", queue_columns, NULL, NULL },
	{ "why", SERVICE_QMGR, "why", 1, 1, "ID", why_columns, NULL, NULL },
	{ "ledger", SERVICE_QMGR, "ledger", 0, 0, "", NULL, NULL, NULL },
	{ "log follow", SERVICE_LOGD, "follow", 0, 16, "[KEY=VALUE ...]", log_columns, NULL, NULL },
	{ "log reopen", SERVICE_LOGD, "reopen", 0, 0, "", NULL, NULL, NULL },
	{ "trace", SERVICE_LOGD, "trace", 1, 1, "ID", log_columns, NULL, NULL },
	{ "spool segments", SERVICE_QMGR, "spool", 0, 0, "", NULL, NULL, NULL },
	{ "dns lookup", SERVICE_DNSCACHE, "lookup", 1, 2, "NAME|ADDRESS [TYPE]", NULL, NULL, NULL },
	{ "dns dump", SERVICE_DNSCACHE, "dump", 0, 0, "", dns_columns, NULL, NULL },
	{ "dns flush", SERVICE_DNSCACHE, "flush", 0, 1, "[NAME|ADDRESS]", NULL, NULL, NULL },
	{ "dns stats", SERVICE_DNSCACHE, "stats", 0, 0, "", NULL, NULL, NULL },
	{ "bounce test", SERVICE_BOUNCED, "test", 1, 9,
	    "TEXT [--code N] [--status N.N.N] [--host NAME] [--domain NAME]", NULL, NULL, NULL },
	{ "route", SERVICE_ROUTER, "route", 1, 2, "ADDRESS [CLIENT]", NULL, NULL, NULL },
};

static const struct {
	const char *words;
	int (*run)(const struct angctl *a, int argc, char *argv[]);
	const char *usage;
} commands[] = {
	{ "status", cmd_status, "[SERVICE]" },
	{ "config check", cmd_config_check, "[FILE]" },
	{ "config eval", cmd_config_eval, "KEY [group=G] [binding=B] [domain=D]" },
	{ "config reload", cmd_config_reload, "" },
	{ "spool check", cmd_spool_check, "[DIR]" },
	{ "spool show", cmd_spool_show, "ID [DIR]" },
};

const enum service angctl_services[] = { SERVICE_LOGD, SERVICE_DNSCACHE, SERVICE_ROUTER,
	SERVICE_QMGR, SERVICE_SMTPD, SERVICE_DELIVER, SERVICE_LOCAL, SERVICE_BOUNCED };
const unsigned angctl_nservices = sizeof angctl_services / sizeof *angctl_services;

static _Noreturn void
usage(int status)
{
	FILE *out = status == 0 ? stdout : stderr;

	fprintf(out, "usage: angctl [-c FILE] [--json] COMMAND\n");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		fprintf(out, "  %s %s\n", commands[i].words, commands[i].usage);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		fprintf(out, "  %s %s\n", verbs[i].words, verbs[i].usage);
	exit(status);
}

/* How many of argv the words take, or 0. */
static int
matches(const char *words, int argc, char *argv[])
{
	struct slice rest = slice_z(words), word;
	int n = 0;

	while (slice_next(&rest, ' ', &word))
		if (n == argc || !slice_is(word, argv[n++]))
			return 0;
	return n;
}

static int
run_verb(const struct angctl *a, const struct verb *v, int argc, char *argv[])
{
	struct printer p = { .a = a,
		.columns = v->columns,
		.nested = v->nested,
		.nested_columns = v->nested_columns };
	const char *words[18] = { NULL };
	int status;

	if (argc < v->min || argc > v->max) {
		complain("usage: angctl %s %s", v->words, v->usage);
		return EXIT_USAGE;
	}
	for (int i = 0; i < argc; i++)
		words[i] = argv[i];
	status = service_call(a, v->service, v->verb, words, &p);
	printer_end(&p);
	return status;
}

static int
dispatch(const struct angctl *a, int argc, char *argv[])
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		int n = matches(commands[i].words, argc, argv);

		if (n > 0)
			return commands[i].run(a, argc - n, argv + n);
	}
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		int n = matches(verbs[i].words, argc, argv);

		if (n > 0)
			return run_verb(a, &verbs[i], argc - n, argv + n);
	}
	usage(EXIT_USAGE);
}

static void
open_run(struct angctl *a)
{
	struct buf path = { 0 };

	conf_run_dir(a->config, &path);
	buf_putc(&path, '\0');
	a->run_dirfd = open(path.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
	a->ctl_dirfd =
	    a->run_dirfd < 0 ? -1 : openat(a->run_dirfd, "ctl", O_PATH | O_DIRECTORY | O_CLOEXEC);
	buf_fini(&path);
}

int
main(int argc, char *argv[])
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	struct angctl a = { .config = CONFIG };
	int c, status;

	while ((c = getopt_long(argc, argv, "+c:jh", options, NULL)) != -1)
		switch (c) {
		case 'c':
			a.config = optarg;
			break;
		case 'j':
			a.json = true;
			break;
		case 'h':
			usage(0);
		default:
			usage(EXIT_USAGE);
		}
	/* --json may also stand behind the command, where one thinks of it. */
	if (argc > optind && strcmp(argv[argc - 1], "--json") == 0) {
		a.json = true;
		argc--;
	}
	if (optind == argc)
		usage(EXIT_USAGE);
	open_run(&a);
	status = dispatch(&a, argc - optind, argv + optind);
	if (fflush(stdout) != 0 || ferror(stdout))
		die(EXIT_CANTCREAT, "output: %s", strerror(errno));
	return status;
}
