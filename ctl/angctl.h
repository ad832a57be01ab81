/* SPDX-License-Identifier: ISC */
#ifndef CTL_ANGCTL_H
#define CTL_ANGCTL_H

#include "base/die.h"
#include "base/service.h"
#include "base/slice.h"

#include <stdbool.h>
#include <sys/types.h>

/* The operator's command: main and its table in angctl.c, the work in the files beside it. */
struct angctl {
	const char *config;
	bool json;
	int run_dirfd; /* -1: there is no run folder */
	int ctl_dirfd;
};

/* angctl_print.c: a row of columns for lines of JSON; key "" ends it. */
struct column {
	const char *key, *title;
	int width; /* negative: left-aligned */
};
/* Prints each whole line of JSON; --json: as it is. */
struct printer {
	const struct angctl *a;
	const struct column *columns; /* NULL: "key: value" lines for each object */
	const char *nested; /* key of an array of objects printed below each row, or NULL */
	const struct column *nested_columns;
	bool titled;
	unsigned long rows;
	char *part; /* a line whose end has not come */
	size_t npart;
};
bool printer_piece(struct slice piece, void *printer); /* fits ctl_call() */
void printer_end(struct printer *p);

/* angctl_service.c. Each returns an exit status and complains on stderr. */
int service_call(const struct angctl *a, enum service s, const char *verb, const char *const *words,
    struct printer *p);
/* Connects; -errno. *pid: the process that listens there, by the kernel's word. */
int service_connect(const struct angctl *a, enum service s, pid_t *pid);
int cmd_status(const struct angctl *a, int argc, char *argv[]);

int cmd_config_check(const struct angctl *a, int argc, char *argv[]);
int cmd_config_eval(const struct angctl *a, int argc, char *argv[]);
int cmd_config_reload(const struct angctl *a, int argc, char *argv[]);
int cmd_spool_check(const struct angctl *a, int argc, char *argv[]);
int cmd_spool_show(const struct angctl *a, int argc, char *argv[]);

/* The services of this release, in the order in which they are shown. */
extern const enum service angctl_services[];
extern const unsigned angctl_nservices;

#endif
