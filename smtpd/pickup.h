/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_PICKUP_H
#define SMTPD_PICKUP_H

#include "io/offload.h"
#include "smtpd/session.h"

/*
 * Takes in what sendmail(8) left in the drop folder while nothing listened (mail/dropfile.h): at
 * the start, every ten seconds, and when somebody uses the local socket. Any user may write there,
 * so a file must be regular, have one link, belong to the user it names, be whole and not too
 * large; of each user at most drop_max_per_user are taken in a round. A file goes when its message
 * is durable, never before.
 *
 * Router is not asked: nobody waits for the answer, so qmgr asks it later and refusals become
 * notices. What breaks a rule is told once and removed when it is a day old, as are files that were
 * never finished.
 */
struct pickup;

/* drop_fd: the folder. conf: where the newest configuration is found each time. */
struct pickup *pickup_new(struct loop *l, struct offload *threads, int drop_fd,
    struct session_world *world, const struct conf *const *conf);
void pickup_soon(struct pickup *p);
/* No new file is begun; what is under way ends. */
void pickup_stop(struct pickup *p);
void pickup_free(struct pickup *p); /* NULL allowed; after the threads have ended */

/* For pickup_flow.c: the envelope of such a file into *tx. False: *why. */
struct dropfile;
bool pickup_envelope(
    struct tx *tx, const struct dropfile *d, const struct conf *conf, const char **why);

/*
 * What a whole file makes: a letter ready for the writer, or NULL and *why. uid: the file's owner.
 */
struct letter *pickup_letter(struct slice file, uint32_t uid, struct session_world *world,
    const struct conf *conf, uint64_t id, const char **why);

#endif
