/* SPDX-License-Identifier: ISC */
#include "ctl/angctl.h"

#include "base/json.h"
#include "conf/generation.h"
#include "ipc/ctl_client.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ADOPT_MS = 10000, LOOK_MS = 50 };

static int
status_of(int err)
{
	return err == -EINVAL ? EXIT_CONFIG : EXIT_TEMP;
}

int
cmd_config_check(const struct angctl *a, int argc, char *argv[])
{
	const char *file = argc > 0 ? argv[0] : a->config;
	struct buf err = { 0 };
	struct conf *c;
	int r;

	if (argc > 1) {
		complain("usage: angctl config check [FILE]");
		return EXIT_USAGE;
	}
	r = conf_check(file, &c, &err);
	if (r != 0) {
		complain("%.*s", (int)err.n, err.p);
		buf_fini(&err);
		return status_of(r);
	}
	conf_unref(c);
	buf_fini(&err);
	if (!a->json)
		printf("%s: good\n", file);
	return 0;
}

static void
print_eval(const struct angctl *a, const char *key, const struct conf_eval *e)
{
	struct buf b = { 0 };

	if (!a->json) {
		printf("%s = %.*s\n", key, (int)e->value.n, e->value.p != NULL ? e->value.p : "");
		if (e->line == 0)
			printf("  the default\n");
		else
			printf("  %s:%u (%.*s)\n", e->file, e->line, (int)e->scope.n, e->scope.p);
		return;
	}
	json_open(&b, '{');
	json_kz(&b, "key", key);
	json_kstr(&b, "value", slice_buf(&e->value));
	json_kstr(&b, "scope", slice_buf(&e->scope));
	json_kz(&b, "file", e->line == 0 ? "" : e->file);
	json_ku64(&b, "line", e->line);
	json_close(&b, '}');
	printf("%.*s\n", (int)b.n, b.p);
	buf_fini(&b);
}

int
cmd_config_eval(const struct angctl *a, int argc, char *argv[])
{
	struct slice group = SLICE_NONE, binding = SLICE_NONE, domain = SLICE_NONE;
	struct conf_eval e = { 0 };
	struct buf err = { 0 };
	struct conf *c;
	int r;

	for (int i = 1; i < argc; i++) {
		struct slice w = slice_z(argv[i]);

		if (slice_istarts(w, "group="))
			group = slice_from(w, 6);
		else if (slice_istarts(w, "binding="))
			binding = slice_from(w, 8);
		else if (slice_istarts(w, "domain="))
			domain = slice_from(w, 7);
		else
			argc = 0;
	}
	if (argc < 1) {
		complain("usage: angctl config eval KEY [group=G] [binding=B] [domain=D]");
		return EXIT_USAGE;
	}
	/* What holds is the newest generation; without one, what the file would make. */
	r = a->run_dirfd < 0 ? -ENOENT : conf_load_newest(a->run_dirfd, &c, &err);
	if (r != 0) {
		buf_reset(&err);
		r = conf_check(a->config, &c, &err);
	}
	if (r != 0) {
		complain("%.*s", (int)err.n, err.p);
		return status_of(r);
	}
	r = conf_eval(c, argv[0], group, binding, domain, &e);
	if (r == 0)
		print_eval(a, argv[0], &e);
	else
		complain("%s: no such key", argv[0]);
	conf_eval_fini(&e);
	conf_unref(c);
	buf_fini(&err);
	return r == 0 ? 0 : EXIT_USAGE;
}

static bool
collect(struct slice piece, void *arg)
{
	buf_slice(arg, piece);
	return true;
}

/* The generation that the service says it runs; 0: it does not answer. */
static uint32_t
generation_of(const struct angctl *a, enum service s)
{
	struct buf b = { 0 };
	int fd = service_connect(a, s, NULL);
	uint32_t generation = 0;
	json_t *o;

	if (fd < 0)
		return 0;
	if (ctl_call(fd, "status", NULL, ADOPT_MS, collect, &b, NULL, 0) == 0) {
		o = json_loadb(b.p, b.n, JSON_DISABLE_EOF_CHECK, NULL);
		generation = (uint32_t)json_integer_value(json_object_get(o, "generation"));
		json_decref(o);
	}
	close(fd);
	buf_fini(&b);
	return generation;
}

static void
rest(void)
{
	poll(NULL, 0, LOOK_MS);
}

int
cmd_config_reload(const struct angctl *a, int argc, char *argv[])
{
	struct buf err = { 0 };
	uint32_t number;
	int r, missing = 0;

	(void)argv;
	if (argc > 0) {
		complain("usage: angctl config reload");
		return EXIT_USAGE;
	}
	r = a->run_dirfd < 0 ? -ENOENT : conf_publish(a->run_dirfd, a->config, &err, &number);
	if (r != 0) {
		complain("%.*s", (int)err.n, err.n > 0 ? err.p : "");
		if (err.n == 0)
			complain("no run folder: %s", strerror(-r));
		buf_fini(&err);
		return status_of(r);
	}
	buf_fini(&err);
	for (unsigned i = 0; i < angctl_nservices; i++) {
		pid_t pid = 0;
		int fd = service_connect(a, angctl_services[i], &pid);

		if (fd >= 0)
			close(fd);
		if (fd < 0 || pid <= 1 || kill(pid, SIGHUP) != 0)
			complain("%s could not be told; it loads the generation when it starts",
			    service_word(angctl_services[i]));
	}
	for (unsigned i = 0; i < angctl_nservices; i++) {
		uint32_t runs = 0;

		for (int waited = 0;
		     waited < ADOPT_MS && (runs = generation_of(a, angctl_services[i])) != 0 &&
		     runs != number;
		     waited += LOOK_MS)
			rest();
		if (runs != number)
			missing++;
		if (!a->json)
			printf("%-10s generation %u%s\n", service_word(angctl_services[i]), runs,
			    runs == number ? "" : " (not the newest)");
	}
	if (a->json)
		printf("{\"generation\":%u,\"missing\":%d}\n", number, missing);
	return missing == 0 ? 0 : EXIT_TEMP;
}
