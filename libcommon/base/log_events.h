/* SPDX-License-Identifier: ISC */
#ifndef BASE_LOG_EVENTS_H
#define BASE_LOG_EVENTS_H

/* clang-format off */
/*
 * THE table of what the house can say. A row is never renumbered or reused; new ones are appended.
 * The log format (logd/angarium-log.5) lists the same names.
 *
 * LOG_KEYS: NAME, number, word in the log, how the value is shown:
 *   U64 decimal, ID a queue id (base/id.h), HEX 16 digits, STR text, ADDR 16 bytes and a port, ENH enhanced
 *   status code as its three digits in one number (class << 16 | subject << 8 | detail).
 * No word is one of those that each line begins with (time, service, pid, event, level,
 * generation).
 */
#define LOG_KEYS(K)                    \
	K(ID, 1, "id", ID)             \
	K(SESSION, 2, "session", HEX)  \
	K(ATTEMPT, 3, "attempt", U64)  \
	K(CLIENT, 4, "client", ADDR)   \
	K(HELO, 5, "helo", STR)        \
	K(FROM, 6, "from", STR)        \
	K(TO, 7, "to", STR)            \
	K(SIZE, 8, "size", U64)        \
	K(NRCPT, 9, "nrcpt", U64)      \
	K(CODE, 10, "code", U64)       \
	K(ENH, 11, "dsn", ENH)         \
	K(TEXT, 12, "text", STR)       \
	K(CLASS, 13, "class", STR)     \
	K(PROTO, 14, "proto", STR)     \
	K(MSGID, 15, "message_id", STR) \
	K(RELAY, 16, "relay", STR)     \
	K(ADDR, 17, "addr", ADDR)      \
	K(STATUS, 18, "status", STR)   \
	K(DELAY, 19, "delay_ms", U64)  \
	K(NEXT, 20, "next_ms", U64)    \
	K(SEGMENT, 21, "segment", U64) \
	K(OFFSET, 22, "offset", U64)   \
	K(COUNT, 23, "count", U64)     \
	K(PEER, 24, "peer", STR)       \
	K(PID, 25, "peer_pid", U64)    \
	K(UID, 26, "uid", U64)         \
	K(FILE, 27, "file", STR)       \
	K(ERROR, 28, "error", STR)     \
	K(VERB, 29, "verb", STR)       \
	K(RULE, 30, "rule", STR)       \
	K(QUEUE, 31, "queue", STR)     \
	K(REASON, 32, "reason", STR)   \
	K(WORKER, 33, "worker", U64)   \
	K(PHASE, 34, "phase", STR)     \
	K(RCPT, 35, "rcpt", U64)       \
	K(CONN_USE, 36, "conn_use", U64) \
	K(DETAIL, 37, "detail", STR)   \
	K(GENERATION, 38, "loaded", U64) \
	K(TRANSPORT, 39, "transport", STR) \
	K(ORIG_TO, 40, "orig_to", STR) \
	K(LOGIN, 41, "login", STR)     \
	K(DELAYS, 42, "delays", STR)   \
	K(BCLASS, 50, "bounce_class", U64) \
	K(BNAME, 51, "bounce_name", STR) \
	K(BLINE, 52, "rule_line", U64) \
	K(OF, 53, "notice_of", ID)     \
	K(KIND, 54, "kind", STR)       \
	K(HOST, 55, "host", STR)

/* NAME, number, word, level, when it is said. */
#define LOG_EVENTS(E)                                                                                    \
	E(STARTED, 1, "started", INFO, "a process entered its sandbox and serves")                       \
	E(STOPPED, 2, "stopped", INFO, "a process ends as it was told to")                               \
	E(RELOADED, 3, "reloaded", INFO, "a configuration generation was loaded")                        \
	E(RELOAD_FAILED, 4, "reload-failed", ERROR, "the old generation stays")                          \
	E(WORKER_LOST, 5, "worker-lost", ERROR, "a parent saw its worker die and starts another")         \
	E(PEER_UP, 6, "peer-up", INFO, "a link between services stands")                                 \
	E(PEER_DOWN, 7, "peer-down", INFO, "a link ended; it is made again")                             \
	E(PEER_BAD, 8, "peer-bad", ERROR, "a peer broke the grammar and was cut off")                    \
	E(SANDBOX_OFF, 9, "sandbox-off", WARNING, "a process runs outside its sandbox, as told by name") \
	E(NOTE, 10, "note", INFO, "anything said once: see text")                                        \
	E(TROUBLE, 11, "trouble", ERROR, "something failed that an operator should know of")            \
	E(LOG_LOST, 12, "log-lost", WARNING, "events were dropped since logd was away or slow")          \
	E(CONNECT, 20, "connect", INFO, "a client connected")                                            \
	E(DISCONNECT, 21, "disconnect", INFO, "a session ended")                                         \
	E(REJECT, 22, "reject", NOTICE, "a command or message was refused")                              \
	E(RECEIVED, 23, "received", INFO, "250 was said to a message: it is durable")                    \
	E(SYNC_FAILED, 24, "sync-failed", ERROR, "a segment was sealed since a write or sync failed")    \
	E(FILED, 30, "filed", INFO, "qmgr took a message into its journal")                              \
	E(ATTEMPT, 31, "attempt", INFO, "a delivery attempt ended for one recipient")                    \
	E(DONE, 32, "done", INFO, "a message has no open recipient left")                                \
	E(FAILED, 33, "failed", NOTICE, "a recipient failed for good")                                   \
	E(EXPIRED, 34, "expired", NOTICE, "a recipient's life ended undelivered")                        \
	E(HELD, 35, "held", NOTICE, "a message was put on hold")                                         \
	E(RELEASED, 36, "released", INFO, "a message was released")                                      \
	E(DELETED, 37, "deleted", NOTICE, "an operator removed a message")                               \
	E(DAMAGED, 38, "damaged", ERROR, "unreadable bytes were set aside")                              \
	E(LEASE, 39, "lease", INFO, "a segment was handed to a writer")                                  \
	E(SEALED, 40, "sealed", INFO, "a segment takes no more records")                                 \
	E(SEGMENT_FREED, 41, "segment-freed", INFO, "a segment without live records was removed")        \
	E(RECOVERED, 42, "recovered", INFO, "the queue was rebuilt from the journal")                    \
	E(INTERRUPTED, 43, "interrupted", WARNING, "a job's worker died")                                \
	E(QUEUE_WAITS, 44, "queue-waits", INFO, "a queue waits: its hosts rest, or the DNS does not tell") \
	E(EXPANDED, 45, "expanded", INFO, "a recipient became others, by a table of the router")         \
	E(DROP_TAKEN, 50, "drop-taken", INFO, "a file of the drop folder was taken in")                  \
	E(DROP_REFUSED, 51, "drop-refused", WARNING, "a file of the drop folder breaks a rule")          \
	E(CONTROL, 60, "control", NOTICE, "a command came over a control socket")                        \
	E(BOUNCE, 70, "bounce", INFO, "what a failure or deferral was classed as")                       \
	E(NOTICE, 71, "notice", INFO, "a notice to a sender was written")
/* clang-format on */

enum log_key {
#define K(NAME, number, word, how) LOGK_##NAME = number,
	LOG_KEYS(K)
#undef K
	    LOGK_END
};

enum log_event {
#define E(NAME, number, word, level, when) LOG_##NAME = number,
	LOG_EVENTS(E)
#undef E
	    LOG_END
};

enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_NOTICE, LEVEL_WARNING, LEVEL_ERROR };

#endif
