/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_PARENT_H
#define SMTPD_PARENT_H

#include "priv/daemon.h"

/*
 * The parent: holds the listening sockets, keeps the workers alive and connected, passes on new
 * configurations, answers on the control socket. It reads nothing from outside.
 *
 * parent_bind() as root, then daemon_drop(), then parent_run(), which returns when all has ended.
 */
void parent_bind(struct daemon *d);
void parent_run(struct daemon *d);

#endif
