/* SPDX-License-Identifier: ISC */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

/*
 * Folders that were opened before privileges fell, for names beneath them that lead nowhere any
 * more, since a folder above is closed to others (a clone below /root).
 *
 * place_hold: `dir` is open as fd, for the life of the process. place_name: `path`, or where a held
 * folder is above it that this user can no longer come to by name, another name of the same that
 * goes through the descriptor; it stands in `out`, or is `path` itself. Needs /proc.
 */
enum { PLACES_MAX = 8, PLACE_PATH_MAX = 4096 };

void place_hold(const char *dir, int fd);
const char *place_name(const char *path, char out[static PLACE_PATH_MAX]);

#endif
