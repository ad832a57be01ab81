/* SPDX-License-Identifier: ISC */
#include "ctl/submit_smtp.h"

#include "smtp/ehlo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/*
 * Until the dot is sent each trouble but a clear no leaves nothing behind at the server, so the
 * message may go elsewhere. Waits are shorter than RFC 5321 section 4.5.3.2 wants: the other end is
 * on this machine.
 */
enum {
	CONNECT_MS = 5 * 1000,
	GREETING_MS = 10 * 1000,
	ENVELOPE_MS = 60 * 1000, /* smtpd may have to ask others about a recipient */
	CONTENT_MS = 60 * 1000,	 /* for each piece */
	DOT_MS = 300 * 1000,
	PIECE_BYTES = SUBMIT_PIECE_BYTES,
	STUFFING_BYTES = 256, /* of dots, in most pieces at most */
};

int
submit_smtp_open(struct submit_link *l, struct submit_server *server, const char *folder)
{
	struct reply_in reply;
	struct ehlo ehlo;
	int r;

	*server = (struct submit_server){ 0 };
	if ((r = submit_link_open(l, folder, CONNECT_MS)) < 0)
		return r;
	/* It is our own server at the other end: neither waits for the other's first words. */
	submit_link_put(l, SLICE_LIT("EHLO localhost\r\n"));
	if ((r = submit_link_reply(l, GREETING_MS, &reply)) == 0 && reply.code == 220) {
		r = submit_link_reply(l, GREETING_MS, &reply);
		if (r == 0 && reply.code == 250) {
			ehlo_parse(&reply, &ehlo);
			server->ext = ehlo.ext;
			server->size_bytes = ehlo.size_bytes;
			buf_slice(&server->origin, ehlo.origin);
			return 0;
		}
	}
	submit_link_close(l);
	return r < 0 ? r : -ECONNREFUSED;
}

void
submit_server_fini(struct submit_server *s)
{
	buf_fini(&s->origin);
}

void
submit_smtp_quit(struct submit_link *l)
{
	/* The reply would tell us nothing: what was promised was promised before. */
	submit_link_put(l, SLICE_LIT("QUIT\r\n"));
	submit_link_flush(l, 1000);
	submit_link_close(l);
}

static void
put_path(struct submit_link *l, const char *verb, struct slice addr)
{
	submit_link_put(l, slice_z(verb));
	submit_link_put(l, addr);
	buf_putc(&l->out, '>');
}

static void
put_param(struct submit_link *l, const char *key, struct slice value)
{
	if (value.n > 0) {
		submit_link_put(l, slice_z(key));
		submit_link_put(l, value);
	}
}

static uint64_t
size_of(const struct submit_request *r)
{
	return r->header.n + r->body.n + (r->rest == NULL ? 0 : r->rest->bytes);
}

static void
put_envelope(
    struct submit_link *l, const struct submit_server *server, const struct submit_request *r)
{
	bool dsn = server->ext & EXT_DSN;

	put_path(l, "MAIL FROM:<", r->sender);
	if (server->ext & EXT_SIZE)
		buf_printf(&l->out, " SIZE=%" PRIu64, size_of(r));
	if ((server->ext & EXT_8BITMIME) && (r->eight_bit || r->seven_bit))
		buf_puts(&l->out, r->eight_bit ? " BODY=8BITMIME" : " BODY=7BIT");
	if ((server->ext & EXT_SMTPUTF8) && r->utf8)
		buf_puts(&l->out, " SMTPUTF8");
	if (dsn) {
		put_param(l, " RET=", r->ret);
		put_param(l, " ENVID=", r->envid);
	}
	buf_puts(&l->out, "\r\n");
	for (size_t i = 0; i < r->n_rcpt; i++) {
		put_path(l, "RCPT TO:<", r->rcpt[i]);
		if (dsn)
			put_param(l, " NOTIFY=", r->notify);
		buf_puts(&l->out, "\r\n");
	}
	buf_puts(&l->out, "DATA\r\n");
}

static void
say(struct submit_answer *out, enum submit_result result, const char *text)
{
	out->result = result;
	out->text = slice_z(text);
}

/* A reply that ends the matter. */
static void
decide(struct submit_answer *out, enum submit_result result, const struct reply_in *reply)
{
	out->result = result;
	out->code = reply->code;
	memcpy(out->enh, reply->enh, 3);
	out->text = arena_slice(&out->arena, reply->text);
}

/*
 * A 4xx before the content: the drop folder can hold the message as well, unless it is storage that
 * is missing (452), or too much was asked for.
 */
static void
decide_early(struct submit_answer *out, const struct reply_in *reply)
{
	if (reply->code >= 500)
		decide(out, SUBMIT_REFUSED, reply);
	else
		decide(out, reply->code == 452 ? SUBMIT_TEMPORARY : SUBMIT_UNREACHED, reply);
}

static void
add_refusal(struct submit_answer *out, struct slice rcpt, const struct reply_in *reply)
{
	struct submit_refusal *f = &out->refused[out->n_refused++];

	f->rcpt = rcpt;
	f->code = reply->code;
	memcpy(f->enh, reply->enh, 3);
	f->text = arena_slice(&out->arena, reply->text);
}

/* MAIL, then each RCPT. True: the content may follow. */
static bool
hear_envelope(struct submit_link *l, const struct submit_request *r, struct submit_answer *out)
{
	struct reply_in reply;

	if (submit_link_reply(l, ENVELOPE_MS, &reply) < 0) {
		say(out, SUBMIT_UNREACHED, "connection lost at MAIL");
		return false;
	}
	if (reply.code >= 300) {
		decide_early(out, &reply);
		return false;
	}
	out->refused = arena_alloc(&out->arena, r->n_rcpt * sizeof *out->refused);
	for (size_t i = 0; i < r->n_rcpt; i++) {
		if (submit_link_reply(l, ENVELOPE_MS, &reply) < 0) {
			say(out, SUBMIT_UNREACHED, "connection lost at RCPT");
			return false;
		}
		if (reply.code >= 500)
			add_refusal(out, r->rcpt[i], &reply);
		else if (reply.code >= 300) {
			/* All or none: what is half stored could be named neither stored nor not.
			 */
			decide_early(out, &reply);
			return false;
		}
	}
	return true;
}

/* The reply to DATA. True: the server wants the content of a message that somebody gets. */
static bool
hear_data(struct submit_link *l, const struct submit_request *r, struct submit_answer *out)
{
	struct reply_in reply;
	int err = submit_link_reply(l, ENVELOPE_MS, &reply);

	if (out->n_refused == r->n_rcpt) {
		const struct submit_refusal *f = &out->refused[0];

		out->result = SUBMIT_NONE_TAKEN;
		out->code = f->code;
		memcpy(out->enh, f->enh, 3);
		out->text = f->text;
		return false;
	}
	if (err < 0)
		say(out, SUBMIT_UNREACHED, "connection lost at DATA");
	else if (reply.code != 354)
		decide_early(out, &reply);
	return err == 0 && reply.code == 354;
}

/* Lines of the piece with a dot put before each leading dot; *line_start is carried on. */
static void
put_stuffed(struct submit_link *l, struct slice piece, bool *line_start)
{
	while (piece.n > 0) {
		ptrdiff_t lf = slice_find(piece, '\n');
		size_t n = lf < 0 ? piece.n : (size_t)lf + 1;

		if (*line_start && piece.p[0] == '.')
			buf_putc(&l->out, '.');
		submit_link_put(l, slice_head(piece, n));
		*line_start = lf >= 0;
		piece = slice_from(piece, n);
	}
}

/* What is less than a piece waits: a small message goes out at once, with its end. */
static bool
send_content(struct submit_link *l, struct slice content, bool *line_start)
{
	buf_room(&l->out, (content.n < PIECE_BYTES ? content.n : PIECE_BYTES) + STUFFING_BYTES);
	while (content.n > 0) {
		put_stuffed(l, slice_head(content, PIECE_BYTES), line_start);
		if (l->out.n - l->sent >= PIECE_BYTES && submit_link_flush(l, CONTENT_MS) < 0)
			return false;
		content = slice_from(content, PIECE_BYTES);
	}
	return true;
}

static bool
send_rest(struct submit_link *l, const struct submit_rest *rest, bool *line_start)
{
	static char piece[PIECE_BYTES];
	uint64_t at = 0;

	while (rest != NULL && at < rest->bytes) {
		size_t n =
		    rest->bytes - at < sizeof piece ? (size_t)(rest->bytes - at) : sizeof piece;

		/* Ours cannot be read: the server hears no dot, and drops what it has. */
		if (submit_rest_read(rest, at, piece, n) < 0 ||
		    !send_content(l, slice_of(piece, n), line_start))
			return false;
		at += n;
	}
	return true;
}

/* A server that breaks off within the content may have said why. */
static void
broken_off(struct submit_link *l, struct submit_answer *out)
{
	struct reply_in reply;

	if (submit_link_reply(l, 1000, &reply) == 0 && reply.code >= 400)
		decide_early(out, &reply);
	else
		say(out, SUBMIT_UNREACHED, "connection lost within the message");
}

static void
send_message(struct submit_link *l, const struct submit_request *r, struct submit_answer *out)
{
	struct reply_in reply;
	bool line_start = true;
	int err;

	if (!send_content(l, r->header, &line_start) || !send_content(l, r->body, &line_start) ||
	    !send_rest(l, r->rest, &line_start)) {
		broken_off(l, out);
		return;
	}
	submit_link_put(l, SLICE_LIT(".\r\nQUIT\r\n"));
	if (submit_link_flush(l, CONTENT_MS) < 0) {
		broken_off(l, out);
		return;
	}
	err = submit_link_reply(l, DOT_MS, &reply);
	if (err < 0)
		say(out, SUBMIT_DOUBT,
		    err == -ETIMEDOUT
			? "no answer to the end of the message"
			: "connection lost before the answer to the end of the message");
	else if (reply.code >= 200 && reply.code < 300)
		decide(out, SUBMIT_ACCEPTED, &reply);
	else
		decide(out, reply.code >= 500 ? SUBMIT_REFUSED : SUBMIT_TEMPORARY, &reply);
}

void
submit_smtp_send(struct submit_link *l, const struct submit_server *server,
    const struct submit_request *r, struct submit_answer *out)
{
	*out = (struct submit_answer){ 0 };
	if (server->size_bytes > 0 && size_of(r) > server->size_bytes) {
		char *text = arena_alloc(&out->arena, 80);

		snprintf(text, 80, "message is larger than %" PRIu64 " bytes", server->size_bytes);
		say(out, SUBMIT_REFUSED, text);
		out->code = 552;
		memcpy(out->enh, (uint8_t[]){ 5, 3, 4 }, 3);
		return;
	}
	put_envelope(l, server, r);
	if (hear_envelope(l, r, out) && hear_data(l, r, out))
		send_message(l, r, out);
}

void
submit_answer_fini(struct submit_answer *a)
{
	arena_fini(&a->arena);
}

static int
ask(struct submit_link *l, struct reply_in *out)
{
	buf_puts(&l->out, "\r\n");
	return submit_link_reply(l, ENVELOPE_MS, out);
}

int
submit_smtp_verify(
    struct submit_link *l, struct slice sender, struct slice rcpt, struct reply_in *out)
{
	int r;

	buf_puts(&l->out, "RSET");
	if ((r = ask(l, out)) < 0 || out->code >= 300)
		return r;
	put_path(l, "MAIL FROM:<", sender);
	if ((r = ask(l, out)) < 0 || out->code >= 300)
		return r;
	put_path(l, "RCPT TO:<", rcpt);
	return ask(l, out);
}
