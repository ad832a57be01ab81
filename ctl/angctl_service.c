/* SPDX-License-Identifier: ISC */
#include "ctl/angctl.h"

#include "ipc/ctl_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 5000, ANSWER_MS = 600000 };

int
service_connect(const struct angctl *a, enum service s, pid_t *pid)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	int fd;

	if (a->ctl_dirfd < 0)
		return -ENOENT;
	fd = ctl_connect(a->ctl_dirfd, service_word(s), CONNECT_MS);
	if (fd >= 0 && pid != NULL)
		*pid = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ? cred.pid : 0;
	return fd;
}

int
service_call(const struct angctl *a, enum service s, const char *verb, const char *const *words,
    struct printer *p)
{
	bool endless = strcmp(verb, "follow") == 0;
	char text[512] = "";
	int fd = service_connect(a, s, NULL), status;

	if (fd < 0) {
		complain("%s does not answer: %s", service_word(s), strerror(-fd));
		return EXIT_UNAVAILABLE;
	}
	status =
	    ctl_call(fd, verb, words, endless ? 0 : ANSWER_MS, printer_piece, p, text, sizeof text);
	close(fd);
	if (status < 0) {
		complain("%s: %s", service_word(s), strerror(-status));
		return EXIT_UNAVAILABLE;
	}
	if (status != 0)
		complain("%s: %s", service_word(s), text);
	return status;
}

int
cmd_status(const struct angctl *a, int argc, char *argv[])
{
	enum service only = argc > 0 ? service_of(argv[0]) : SERVICE_NONE;
	int worst = 0;

	if (argc > 1 || (argc == 1 && only == SERVICE_NONE)) {
		complain("usage: angctl status [SERVICE]");
		return EXIT_USAGE;
	}
	for (unsigned i = 0; i < angctl_nservices; i++) {
		struct printer p = { .a = a };
		int status;

		if (only != SERVICE_NONE && only != angctl_services[i])
			continue;
		status = service_call(a, angctl_services[i], "status", NULL, &p);
		printer_end(&p);
		if (status != 0)
			worst = status;
	}
	return worst;
}
