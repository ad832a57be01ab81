/* SPDX-License-Identifier: ISC */
/* A command line through verb, path and parameters; what was taken is printed and read again. */
#include "smtp/command.h"
#include "smtp/param.h"
#include "smtp/path.h"
#include "smtp/replies.h"
#include "smtp/xtext.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

/* A path that was taken prints to a normal form that is taken again and prints to itself. */
static void
check_path(const struct path *path)
{
	struct buf once = { 0 }, twice = { 0 };
	struct path again;
	uint8_t addr[16];

	demand(path->local.n <= PATH_LOCAL_MAX && path->address.n <= PATH_ADDRESS_MAX);
	path_print(&once, path);
	demand(once.n <= path->address.n);
	if (!path->null) {
		demand(path_address(slice_buf(&once), PATH_UTF8 | PATH_UNQUALIFIED, &again) ==
		       PATH_OK);
		demand(slice_eq(again.domain, path->domain) && again.utf8 == path->utf8);
		demand(path_is_postmaster(&again) == path_is_postmaster(path));
		path_print(&twice, &again);
		demand(slice_eq(slice_buf(&once), slice_buf(&twice)));
	}
	demand(path_literal_addr(path->domain, addr) == path->literal);
	buf_fini(&once);
	buf_fini(&twice);
}

static void
check_mail(struct slice arg, unsigned offered, unsigned flags)
{
	struct mail_params params;
	struct path path;

	if (!command_take(&arg, "FROM:") || path_parse(&arg, PATH_REVERSE, flags, &path) != PATH_OK)
		return;
	check_path(&path);
	if (param_parse_mail(arg, offered, &params) != PARAM_OK)
		return;
	demand(params.envid.p == NULL || param_envid_valid(params.envid));
	demand(
	    params.auth.p == NULL || slice_is(params.auth, "<>") || xtext_valid(params.auth, true));
	demand((offered & EXT_SMTPUTF8) || !params.smtputf8);
	/* Nothing is right for fewer extensions that is wrong for all. */
	demand(param_parse_mail(arg, ~0U, &params) == PARAM_OK);
}

static void
check_rcpt(struct slice arg, unsigned offered, unsigned flags)
{
	struct rcpt_params params;
	struct path path;
	uint8_t notify;

	if (!command_take(&arg, "TO:") || path_parse(&arg, PATH_FORWARD, flags, &path) != PATH_OK)
		return;
	demand(!path.null);
	check_path(&path);
	if (param_parse_rcpt(arg, offered, &params) != PARAM_OK)
		return;
	demand(params.orcpt.p == NULL || param_orcpt_valid(params.orcpt, true));
	if (params.notify != 0)
		demand(param_notify_parse(slice_z(param_notify_word(params.notify)), &notify) &&
		       notify == params.notify);
}

/* An argument in a reply makes one line, whatever it is. */
static void
check_reply(struct slice line)
{
	struct buf out = { 0 };

	reply_format(&out, REPLY_NO_ARGUMENTS, line);
	demand(out.n <= 512 && memchr(out.p, '\n', out.n) == out.p + out.n - 1);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice line = slice_of(data, size);
	struct command cmd, again;

	if (size > COMMAND_LINE_MAX)
		return 0;
	check_reply(line);
	command_string_valid(line);
	path_helo_valid(line);
	if (!command_parse(line, &cmd))
		return 0;
	demand(
	    command_parse(slice_z(command_verb_word(cmd.verb)), &again) && again.verb == cmd.verb);
	for (unsigned flags = 0; flags < 8; flags++) {
		check_mail(cmd.arg, flags & 1 ? ~0U : EXT_SIZE | EXT_8BITMIME | EXT_DSN, flags);
		check_rcpt(cmd.arg, flags & 1 ? ~0U : EXT_DSN, flags);
	}
	return 0;
}
