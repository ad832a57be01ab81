/* SPDX-License-Identifier: ISC */
#include "priv/ids.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>

static int
user_by_name(const char *name, uid_t *uid)
{
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(name);
	/* "Not there" comes as 0 or as one of these, as the back end likes. */
	if (pw == NULL && errno != 0 && errno != ENOENT && errno != ESRCH)
		return -errno;
	*uid = pw != NULL ? pw->pw_uid : IDS_NONE;
	return *uid == 0 ? -EPERM : 0;
}

static int
group_by_name(const char *name, gid_t *gid)
{
	struct group *gr;

	errno = 0;
	gr = getgrnam(name);
	if (gr == NULL && errno != 0 && errno != ENOENT && errno != ESRCH)
		return -errno;
	*gid = gr != NULL ? gr->gr_gid : IDS_NONE;
	return *gid == 0 ? -EPERM : 0;
}

static int
load_by_name(struct ids *ids)
{
	int err = 0;

	for (unsigned i = 0; i < SERVICE_COUNT && err == 0; i++) {
		err = user_by_name(service_user((enum service)i), &ids->uid[i]);
		if (err == 0)
			err = group_by_name(service_user((enum service)i), &ids->gid[i]);
	}
	if (err == 0)
		err = group_by_name(GROUP_ADM_NAME, &ids->gid[GROUP_ADM]);
	if (err == 0)
		err = group_by_name(GROUP_DROP_NAME, &ids->gid[GROUP_DROP]);
	return err;
}

int
ids_load(struct ids *ids, uint32_t id_base)
{
	if (id_base == 0)
		return load_by_name(ids);
	if (id_base > IDS_NONE - ID_COUNT)
		return -EINVAL;
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		ids->uid[i] = id_base + i;
	for (unsigned i = 0; i < ID_COUNT; i++)
		ids->gid[i] = id_base + i;
	return 0;
}

enum service
ids_service_of(const struct ids *ids, uid_t uid)
{
	if (uid != IDS_NONE)
		for (unsigned i = 0; i < SERVICE_COUNT; i++)
			if (ids->uid[i] == uid)
				return (enum service)i;
	return SERVICE_NONE;
}
