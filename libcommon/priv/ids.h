/* SPDX-License-Identifier: ISC */
#ifndef PRIV_IDS_H
#define PRIV_IDS_H

#include "base/service.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * The numeric ids of the house. Where the suite's users are installed they are looked up by name;
 * else a range of unused numbers from id_base on serves (base/service.h has the distances), and no
 * account is made.
 */
#define IDS_NONE UINT32_MAX /* not there: equals no peer's id */

struct ids {
	uid_t uid[SERVICE_COUNT];
	gid_t gid[ID_COUNT]; /* also GROUP_ADM, GROUP_DROP */
};

/*
 * id_base 0: by name; users and groups that are not there become IDS_NONE. Else id_base + index.
 * 0, -EINVAL (the range holds 0 or leaves 32 bits), or an errno of the user database. Uses NSS:
 * call it while privileged, before any sandbox. A user of ours with uid or gid 0 is -EPERM.
 */
int ids_load(struct ids *ids, uint32_t id_base);

/* Whose uid it is; SERVICE_NONE when it is none of ours. */
enum service ids_service_of(const struct ids *ids, uid_t uid);

#endif
