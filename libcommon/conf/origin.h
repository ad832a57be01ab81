/* SPDX-License-Identifier: ISC */
#ifndef CONF_ORIGIN_H
#define CONF_ORIGIN_H

#include "base/buf.h"

/*
 * The lines at the end of a generation that tell what the publisher saw, comments to the parser:
 *
 *	#@ file /etc/angarium/angarium.conf
 *	#@ node mx.example.org
 *	#@ mailname example.org
 *
 * Of two lines of a kind the last counts: a generation may be published again as a file.
 */
struct origin {
	struct slice file, node, mailname; /* p NULL: not told */
};

void origin_put(
    struct buf *text, const struct origin *o); /* a newline is put before where one lacks */
/* Cuts them off the text, so that a message about its end names the administrator's last line. */
struct origin origin_take(struct slice *text); /* slices of the text */

#endif
