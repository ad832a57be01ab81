/* SPDX-License-Identifier: ISC */
#ifndef SMTP_REPLIES_H
#define SMTP_REPLIES_H

#include "base/buf.h"

/*
 * THE table of what our server says by itself. NAME, code, enhanced code with a blank before it (""
 * where RFC 2034 forbids one or none fits), text with at most one %s. Codes are those of RFC 5321
 * section 4.2.3, enhanced ones of RFC 3463, 2034 and 5248. What router, policy or modules say goes
 * through reply_put_text().
 */
#define REPLIES(R)                                                                                 \
	/* the session */                                                                          \
	R(GREETING, 220, "", "%s ESMTP")                                                           \
	R(BYE, 221, " 2.0.0", "Bye")                                                               \
	R(HELO_OK, 250, "", "%s")                                                                  \
	R(OK, 250, " 2.0.0", "Ok")                                                                 \
	R(HELP, 214, " 2.0.0", "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT") \
	R(VRFY, 252, " 2.5.2", "Cannot verify the user, but will take mail and try to deliver it") \
	R(SHUTDOWN, 421, " 4.3.2", "%s is shutting down")                                          \
	R(TIMEOUT, 421, " 4.4.2", "%s waited too long for the next command")                       \
	R(TOO_MANY_ERRORS, 421, " 4.7.0", "%s has seen too many errors")                           \
	R(TOO_MANY_SESSIONS, 421, " 4.3.2", "%s has too many connections, try later")              \
	R(TOO_MANY_FROM_CLIENT, 421, " 4.7.0", "%s has too many connections from you")             \
	R(TOO_OFTEN, 421, " 4.7.0", "%s: you connect too often, try later")                        \
	R(TROUBLE, 421, " 4.3.0", "%s has trouble, try later")                                     \
	R(NO_SERVICE, 554, " 5.7.1", "%s takes no mail from you")                                  \
	/* any command */                                                                          \
	R(LINE_TOO_LONG, 500, " 5.5.6", "Line too long")                                           \
	R(UNKNOWN_VERB, 500, " 5.5.1", "Command not recognised")                                   \
	R(NOT_OFFERED, 502, " 5.5.1", "Command not implemented")                                   \
	R(NO_ARGUMENTS, 501, " 5.5.4", "%s takes no argument")                                     \
	R(NEED_ARGUMENT, 501, " 5.5.4", "%s needs an argument")                                    \
	R(BAD_ARGUMENT, 501, " 5.5.4", "Syntax error in the argument")                             \
	R(BARE_LF, 521, " 5.5.2", "Lines must end in CR LF")                                       \
	R(PIPELINED, 521, " 5.5.1", "Improper pipelining")                                         \
	R(HTTP, 521, " 5.7.0", "This is SMTP")                                                     \
	/* HELO, EHLO */                                                                           \
	R(NEED_HELO, 503, " 5.5.1", "Say EHLO first")                                              \
	R(BAD_HELO, 501, " 5.5.4", "Give a domain or an address literal")                          \
	/* MAIL */                                                                                 \
	R(MAIL_OK, 250, " 2.1.0", "Sender ok")                                                     \
	R(NESTED_MAIL, 503, " 5.5.1", "MAIL has been said")                                        \
	R(NEED_FROM, 501, " 5.5.4", "Syntax: MAIL FROM:<address>")                                 \
	R(BAD_SENDER, 501, " 5.1.7", "Bad sender address syntax")                                  \
	R(SENDER_NEEDS_UTF8, 553, " 5.6.7", "Non-ASCII sender address needs SMTPUTF8")             \
	R(SENDER_UNKNOWN_LITERAL, 553, " 5.1.8", "Unknown kind of address literal")                \
	R(BAD_PARAMETER, 501, " 5.5.4", "Syntax error in a parameter")                             \
	R(UNKNOWN_PARAMETER, 555, " 5.5.4", "Parameter not recognised")                            \
	R(TOO_BIG, 552, " 5.3.4", "Message exceeds %s bytes")                                      \
	R(SENDER_TROUBLE, 451, " 4.3.0", "Sender cannot be checked now, try later")                \
	R(TOO_FAST_MAIL, 450, " 4.7.1", "Too many messages in a short time, try later")            \
	R(NO_SPACE, 452, " 4.3.1", "No space now, try later")                                      \
	/* RCPT */                                                                                 \
	R(RCPT_OK, 250, " 2.1.5", "Recipient ok")                                                  \
	R(RCPT_LOCAL, 250, " 2.1.5", "Local recipient ok")                                         \
	R(RCPT_UNKNOWN, 250, " 2.1.5", "Unknown recipient, the sender will be told")               \
	R(NEED_MAIL, 503, " 5.5.1", "Say MAIL first")                                              \
	R(NEED_TO, 501, " 5.5.4", "Syntax: RCPT TO:<address>")                                     \
	R(BAD_RECIPIENT, 501, " 5.1.3", "Bad recipient address syntax")                            \
	R(RECIPIENT_NEEDS_UTF8, 553, " 5.6.7", "Non-ASCII recipient address needs SMTPUTF8")       \
	R(RECIPIENT_UNKNOWN_LITERAL, 553, " 5.1.2", "Unknown kind of address literal")             \
	R(TOO_FAST_RCPT, 450, " 4.7.1", "Too many recipients in a short time, try later")          \
	R(TOO_MANY_RCPT, 452, " 4.5.3", "Too many recipients")                                     \
	R(RELAY_DENIED, 550, " 5.7.1", "Relaying denied")                                          \
	R(NO_SUCH_USER, 550, " 5.1.1", "No such user here")                                        \
	R(RCPT_TROUBLE, 451, " 4.3.0", "Recipient cannot be checked now, try later")               \
	/* DATA */                                                                                 \
	R(NEED_RCPT, 503, " 5.5.1", "Say RCPT first")                                              \
	R(NO_VALID_RCPT, 554, " 5.5.1", "No valid recipients")                                     \
	R(GO_AHEAD, 354, "", "End with a line of one dot")                                         \
	R(QUEUED, 250, " 2.0.0", "Queued as %s")                                                   \
	R(CHUNK_OK, 250, " 2.0.0", "Taken, %s bytes so far")                                       \
	R(NEED_BDAT, 503, " 5.5.1", "Say BDAT LAST or RSET first")                                 \
	R(BAD_CHUNK, 501, " 5.5.4", "Syntax: BDAT SIZE or BDAT SIZE LAST")                         \
	R(DATA_BARE_CR_LF, 550, " 5.6.0", "Message has a CR or LF outside of a line end")          \
	R(DATA_NUL, 550, " 5.6.0", "Message has a NUL byte")                                       \
	R(DATA_BAD_HEADER, 550, " 5.6.0", "Message header is malformed")                           \
	R(DATA_LOOP, 554, " 5.4.6", "Too many Received fields: mail loop")                         \
	R(DATA_TROUBLE, 451, " 4.3.0", "Message cannot be stored now, try later")                  \
	R(DATA_NO_MEMORY, 452, " 4.3.1", "Too much mail under way, try later")

enum reply {
#define R(name, code, enh, text) REPLY_##name,
	REPLIES(R)
#undef R
	    REPLY_COUNT,
};

/*
 * Appends the whole line with its CRLF. `arg` stands for %s (SLICE_NONE where the text has none);
 * control and non-ASCII bytes in it come out as "?", and it is cut so that the line is 512 bytes at
 * most.
 */
void reply_format(struct buf *out, enum reply reply, struct slice arg);
/* For a text without %s: the ready line, which lives for ever. */
struct slice reply_line(enum reply reply);
unsigned reply_code(enum reply reply);
const char *reply_enh(enum reply reply); /* "5.5.1" or "" */

/*
 * A reply whose text comes from elsewhere: each of its lines ("\n" parts them; empty: one line
 * without text) becomes a line of the reply, cleaned and cut as above. enh {0,0,0}: none is said.
 */
void reply_put_text(struct buf *out, unsigned code, const uint8_t enh[3], struct slice text);

#endif
