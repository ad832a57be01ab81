/* SPDX-License-Identifier: ISC */
#ifndef IPC_MESSAGES_H
#define IPC_MESSAGES_H

#include "base/service.h"

/* clang-format off */
/*
 * THE table of messages between the processes of the house. A number is never reused; rows and
 * fields are only appended; a field that a peer did not send is zero or empty. Field kinds: u8,
 * u16, u32, u64, str (bytes with a length in front).
 *
 * "addr" fields are 16 bytes, IPv4 mapped. Times are milliseconds. `route`: see ipc/route.h.
 */

/* First on every link, both ways. Nothing else is heard before it. */
#define FIELDS_HELLO(F)                                                              \
	F(u8, service, "who speaks (base/service.h)")                                \
	F(u8, role, "0 the service itself or its parent, 1 a worker")                \
	F(u16, worker, "number of the worker within its service, from 1")            \
	F(u64, instance, "random, new with each process")                            \
	F(u16, version_min, "oldest edge version spoken")                            \
	F(u16, version_max, "newest")                                                \
	F(u32, generation, "configuration generation in use")                        \
	F(u8, class, "of a writer: enum origin_class")                               \
	F(u32, pid, "for the log and status only, never for a decision")

/* A parent and its worker, over the pair the worker was born with. */
#define FIELDS_LINK(F) F(u8, service, "the descriptor beside this is connected to that service")
#define FIELDS_LINK_WANT(F) F(u8, service, "the link is gone or was never there: connect me")
#define FIELDS_CONFIG(F) F(u32, generation, "the descriptor beside this is that generation's file")
#define FIELDS_FINISH(F) F(u32, grace_ms, "end: sessions within DATA may take so long")
#define FIELDS_ASK(F)                                              \
	F(u64, token, "of the control call that the parent serves") \
	F(str, verb, "")                                           \
	F(str, args, "")
#define FIELDS_ANSWER(F)              \
	F(u64, token, "")             \
	F(str, data, "one JSON object")

/* smtpd and bounced to qmgr: leases (QUEUE.md rules 2, 6, 8). */
#define FIELDS_LEASE_WANT(F)                                            \
	F(u8, count, "segments wanted now")                             \
	F(u16, version, "newest record version this writer can write")
#define FIELDS_LEASE(F)                                                       \
	F(u32, segment, "number, never reused; the descriptor is O_WRONLY|O_APPEND") \
	F(u64, start, "first record goes here")                               \
	F(u64, seed, "of the checksums in this segment")                      \
	F(u64, floor_ms, "no id below this")                                  \
	F(u8, class, "what its records may claim")                            \
	F(u16, version, "record version to write")                            \
	F(u64, soft_bytes, "ask for the next one from here on")               \
	F(u64, floor_bytes, "452 when the file system has less than this free")
#define FIELDS_DOORBELL(F)             \
	F(u32, segment, "")            \
	F(u64, durable, "synced up to here; repeats are harmless")
#define FIELDS_FILED(F)      \
	F(u32, segment, "") \
	F(u64, filed, "read and journalled up to here")
#define FIELDS_SEAL(F)                                                  \
	F(u32, segment, "takes no more records; the descriptor is closed") \
	F(u64, end, "last good offset: what stands beyond was refused to its sender")
#define FIELDS_SEALED(F) F(u32, segment, "the seal is journalled")
#define FIELDS_LEASE_NONE(F) F(u32, retry_ms, "no segment can be made now (disk floor): ask again then")

/*
 * Large bodies (QUEUE.md rules 10, 19): a file in large/ each. The descriptor of LARGE is
 * O_WRONLY|O_APPEND, handed over once; a file that no record will refer to is dropped, which is
 * repeated until it is acknowledged.
 */
#define FIELDS_LARGE_WANT(F) F(u8, count, "large files wanted now")
#define FIELDS_LARGE(F)                                                       \
	F(u32, large, "number, never reused; the descriptor is O_WRONLY|O_APPEND") \
	F(u64, floor_bytes, "452 when the file system has less than this free")
#define FIELDS_LARGE_NONE(F) F(u32, retry_ms, "none can be made now: ask again then")
#define FIELDS_LARGE_DROP(F) F(u32, large, "no record refers to it, nor will")
#define FIELDS_LARGE_DROPPED(F) F(u32, large, "heard")

/* smtpd and qmgr to router. */
#define FIELDS_RESOLVE(F)                                               \
	F(u32, token, "chosen by the asker, comes back")                \
	F(u8, class, "enum origin_class of the session or message")     \
	F(str, client, "16 bytes; empty: not known (asked by qmgr)")    \
	F(str, login, "")                                               \
	F(str, sender, "")                                              \
	F(str, rcpt, "local@domain; domain may be missing for postmaster") \
	F(u8, again, "1: relaying was granted before; 2: and it is what an expansion came to") \
	F(u32, from, "EXPAND: first of the list wanted, where one answer could not hold it all")
#define FIELDS_ROUTE(F)                                                        \
	F(u32, token, "")                                                      \
	F(u8, action, "enum route_action (ipc/route.h)")                       \
	F(u16, code, "reply code where refused, else 0")                       \
	F(u8, enh_class, "enhanced code")                                      \
	F(u8, enh_subject, "")                                                 \
	F(u8, enh_detail, "")                                                  \
	F(str, text, "for the reply or the hold reason")                       \
	F(str, rule, "name of the rule that decided")                          \
	F(u32, generation, "")                                                 \
	F(str, route, "encoded route (ipc/route.h)")                           \
	F(str, seal, "16 bytes: keyed hash over action, route, generation, recipient") \
	F(u32, total, "EXPAND, asked by qmgr: addresses in the whole list")     \
	F(u32, first, "EXPAND: ordinal of the first one in `list`")            \
	F(str, list, "EXPAND: u16 length and address, repeated")               \
	F(u64, whole, "EXPAND: hash of the whole list: parts of another do not go together") \
	F(u16, holds_ms, "so long the same question will get the same answer; 0: who knows")
/* router to qmgr, after HELLO and when it changes. */
#define FIELDS_ROUTE_KEY(F) F(str, key, "32 bytes; the one before stays good")

/* qmgr to deliver's workers and back. */
#define FIELDS_SEGMENT(F)                                         \
	F(u32, segment, "the descriptor beside this is read-only") \
	F(u64, seed, "")
#define FIELDS_JOB(F)                                                             \
	F(u64, job, "")                                                           \
	F(u64, id, "queue id")                                                    \
	F(u32, segment, "announced by SEGMENT before")                            \
	F(u64, offset, "")                                                        \
	F(u64, length, "of the whole record")                                     \
	F(u32, queue, "qmgr's number of the queue, for the log")                  \
	F(str, route, "encoded route (ipc/route.h)")                              \
	F(str, rcpts, "u32 recipient number, u32 attempt, repeated")              \
	F(str, limits, "struct job_limits as ipc/job.h encodes it")             \
	F(u64, arrival_ms, "wall")                                                \
	F(str, hosts, "where to, resolved, in the order of trial (ipc/job.h); "  \
		      "empty: the hops of the route as they stand")               \
	F(str, addresses, "of the recipients that do not stand in the envelope (ipc/job.h)") \
	F(str, source, "16 bytes: where connections come from; empty: the system chooses")
/* Before the JOB of a message whose body stands in large/: the descriptor is that job's alone. */
#define FIELDS_LARGE_BODY(F) F(u32, large, "the descriptor beside this is read-only")
#define FIELDS_RESULT(F)                                                     \
	F(u64, job, "")                                                      \
	F(u32, rcpt, "recipient number")                                     \
	F(u32, attempt, "")                                                  \
	F(u8, kind, "enum outcome_kind; 3: the record is damaged")           \
	F(u16, code, "")                                                     \
	F(u8, enh_class, "")                                                 \
	F(u8, enh_subject, "")                                               \
	F(u8, enh_detail, "")                                                \
	F(u8, phase, "enum delivery_phase (ipc/route.h)")                    \
	F(str, text, "the peer's reply, or ours, in one line")               \
	F(u8, dsn, "1: NOTIFY went on to a next hop that tells of success itself")
#define FIELDS_JOB_DONE(F)                                                          \
	F(u64, job, "all its results have been sent")                               \
	F(u8, host_down, "1: no connection could be made; the whole queue may wait") \
	F(str, host, "name or literal of the host spoken to")                       \
	F(str, addr, "16 bytes; empty: none")                                       \
	F(u16, port, "")                                                            \
	F(u32, conn_use, "messages sent over this connection, this one included")   \
	F(u32, connect_ms, "from the job's begin to that of its transaction")       \
	F(str, failed, "of the hosts: those that gave no greeting, as ipc/job.h encodes them") \
	F(u8, kept, "1: its connection stays open, and counts as one of the job's queue; " \
		    "2: the same until the server has heard QUIT")                         \
	F(u8, took, "1: it began on one that was kept for its queue")                       \
	F(u32, opened, "connections begun for it")
/* To qmgr, for queues whose jobs say `tell`: one that was kept for the queue is no more. */
#define FIELDS_CONN_GONE(F) F(u32, queue, "as in JOB")
/* From qmgr: close one that is kept for the queue; CONN_GONE says that it is done. */
#define FIELDS_CONN_CLOSE(F) F(u32, queue, "as in JOB")
#define FIELDS_RESULT_ACK(F) F(u64, job, "its results are durable: forget them")
#define FIELDS_FORGET(F) F(u32, segment, "close its descriptor when no running job needs it")
#define FIELDS_FORGOTTEN(F) F(u32, segment, "done")
#define FIELDS_RUNNING(F)                                                     \
	F(u64, job, "running, or ended and not acknowledged")                 \
	F(u64, id, "")                                                        \
	F(str, rcpts, "as in JOB")                                            \
	F(u8, last, "1: the list is complete (job 0: an empty list); results of ended jobs follow")
#define FIELDS_WORKERS(F)                                                            \
	F(str, instances, "u64 each: the workers that live; the jobs of all others of " \
			  "this service are interrupted")
#define FIELDS_WORKER_ROOM(F) F(u32, jobs, "how many jobs this worker takes at once")

/* smtpd, qmgr, router and deliver to dnscache. */
#define FIELDS_DNS_ASK(F)                                               \
	F(u32, token, "chosen by the asker, comes back")                \
	F(u16, type, "enum dns_type (dns/dns.h)")                       \
	F(str, name, "a domain name as text, no final dot")
#define FIELDS_DNS_ANSWER(F)                                            \
	F(u32, token, "")                                               \
	F(u8, status, "enum dns_status (dns/dns.h)")                    \
	F(u32, ttl_s, "the shortest on the way, 0 where status is TEMP") \
	F(u8, flags, "enum dns_flag")                                   \
	F(str, cname, "the name at the end of a chain; empty: as asked") \
	F(str, records, "rows as dns/dns.h encodes them")               \
	F(str, text, "why, where status is TEMP")

/* qmgr to bounced and back: what is owed (QUEUE.md rule 18), and what became of each attempt. */
#define FIELDS_NOTICE(F)                                                              \
	F(u64, id, "of the message; the descriptor beside this is a sealed memory file:") \
	F(u8, kind, "enum spool_notice; a notice as bounce/notice.h has it")           \
	F(u32, size, "of that file")
#define FIELDS_NOTICE_LATER(F)                                                        \
	F(u64, id, "its notice could not be written")                                 \
	F(u8, kind, "")                                                               \
	F(u32, retry_ms, "not before")                                                \
	F(str, text, "why")
#define FIELDS_REPLY(F)                                                               \
	F(u64, id, "")                                                                \
	F(u32, rcpt, "recipient number")                                              \
	F(u8, action, "enum notice_action (bounce/notice.h)")                         \
	F(u16, code, "")                                                              \
	F(u8, enh_class, "")                                                          \
	F(u8, enh_subject, "")                                                        \
	F(u8, enh_detail, "")                                                         \
	F(str, to, "")                                                                \
	F(str, host, "that said so")                                                  \
	F(str, text, "the reply in one line")

/* All to logd. */
#define FIELDS_EVENTS(F)                            \
	F(u64, lost, "dropped before these")        \
	F(str, data, "events (base/log.h)")
#define FIELDS_METRICS(F) F(str, rows, "those that changed: u16 number, u64 value (base/metrics.h)")

/* angctl, mailq and sendmail to any service. */
#define FIELDS_CTL(F)                                       \
	F(str, verb, "")                                    \
	F(str, args, "words, each ended by a zero byte")
#define FIELDS_CTL_OUT(F) F(str, data, "lines of the answer; a line may be cut by the packet's end")
#define FIELDS_CTL_END(F)                                   \
	F(u16, status, "sysexits code; 0: done")            \
	F(str, text, "one line where status is not 0")

/*
 * NAME, name, number, may send, may receive, descriptor (0 never, 1 always one).
 * Services as bits: see IPC_FROM; PARENT and WORKER are the two ends of a pair.
 */
#define IPC_MESSAGES(M)                                                     \
	M(HELLO, hello, 0x0001, IPC_ANY, IPC_ANY, 0)                        \
	M(LINK, link, 0x0010, IPC_PARENT, IPC_WORKER, 1)                    \
	M(LINK_WANT, link_want, 0x0011, IPC_WORKER, IPC_PARENT, 0)          \
	M(CONFIG, config, 0x0012, IPC_PARENT, IPC_WORKER, 1)                \
	M(FINISH, finish, 0x0013, IPC_PARENT, IPC_WORKER, 0)                \
	M(ASK, ask, 0x0014, IPC_PARENT, IPC_WORKER, 0)                      \
	M(ANSWER, answer, 0x0015, IPC_WORKER, IPC_PARENT, 0)                \
	M(LEASE_WANT, lease_want, 0x0100, IPC_WRITERS, IPC_QMGR, 0)         \
	M(LEASE, lease, 0x0101, IPC_QMGR, IPC_WRITERS, 1)                   \
	M(DOORBELL, doorbell, 0x0102, IPC_WRITERS, IPC_QMGR, 0)             \
	M(FILED, filed, 0x0103, IPC_QMGR, IPC_WRITERS, 0)                   \
	M(SEAL, seal, 0x0104, IPC_WRITERS, IPC_QMGR, 0)                     \
	M(SEALED, sealed, 0x0105, IPC_QMGR, IPC_WRITERS, 0)                 \
	M(LEASE_NONE, lease_none, 0x0106, IPC_QMGR, IPC_WRITERS, 0)         \
	M(LARGE_WANT, large_want, 0x0110, IPC_WRITERS, IPC_QMGR, 0)         \
	M(LARGE, large, 0x0111, IPC_QMGR, IPC_WRITERS, 1)                   \
	M(LARGE_NONE, large_none, 0x0112, IPC_QMGR, IPC_WRITERS, 0)         \
	M(LARGE_DROP, large_drop, 0x0113, IPC_WRITERS, IPC_QMGR, 0)         \
	M(LARGE_DROPPED, large_dropped, 0x0114, IPC_QMGR, IPC_WRITERS, 0)   \
	M(RESOLVE, resolve, 0x0200, IPC_SMTPD | IPC_QMGR, IPC_ROUTER, 0)    \
	M(ROUTE, route, 0x0201, IPC_ROUTER, IPC_SMTPD | IPC_QMGR, 0)        \
	M(ROUTE_KEY, route_key, 0x0202, IPC_ROUTER, IPC_QMGR, 0)            \
	M(SEGMENT, segment, 0x0300, IPC_QMGR, IPC_DELIVERERS, 1)            \
	M(JOB, job, 0x0301, IPC_QMGR, IPC_DELIVERERS, 0)                    \
	M(RESULT, result, 0x0302, IPC_DELIVERERS, IPC_QMGR, 0)              \
	M(JOB_DONE, job_done, 0x0303, IPC_DELIVERERS, IPC_QMGR, 0)          \
	M(RESULT_ACK, result_ack, 0x0304, IPC_QMGR, IPC_DELIVERERS, 0)      \
	M(FORGET, forget, 0x0305, IPC_QMGR, IPC_DELIVERERS, 0)              \
	M(FORGOTTEN, forgotten, 0x0306, IPC_DELIVERERS, IPC_QMGR, 0)        \
	M(RUNNING, running, 0x0307, IPC_DELIVERERS, IPC_QMGR, 0)            \
	M(WORKERS, workers, 0x0308, IPC_DELIVERERS, IPC_QMGR, 0)            \
	M(WORKER_ROOM, worker_room, 0x0309, IPC_DELIVERERS, IPC_QMGR, 0)    \
	M(CONN_GONE, conn_gone, 0x030a, IPC_DELIVERERS, IPC_QMGR, 0)        \
	M(CONN_CLOSE, conn_close, 0x030b, IPC_QMGR, IPC_DELIVERERS, 0)      \
	M(LARGE_BODY, large_body, 0x0320, IPC_QMGR, IPC_DELIVERERS, 1)      \
	M(DNS_ASK, dns_ask, 0x0600, IPC_DNS_ASKERS, IPC_DNSCACHE, 0)        \
	M(DNS_ANSWER, dns_answer, 0x0601, IPC_DNSCACHE, IPC_DNS_ASKERS, 0)  \
	M(NOTICE, notice, 0x0700, IPC_QMGR, IPC_BOUNCED, 1)                 \
	M(NOTICE_LATER, notice_later, 0x0701, IPC_BOUNCED, IPC_QMGR, 0)     \
	M(REPLY, reply, 0x0702, IPC_QMGR, IPC_BOUNCED, 0)                   \
	M(EVENTS, events, 0x0400, IPC_ANY, IPC_LOGD, 0)                     \
	M(METRICS, metrics, 0x0401, IPC_ANY, IPC_LOGD, 0)                   \
	M(CTL, ctl, 0x0500, IPC_CTL, IPC_SERVICES, 0)                       \
	M(CTL_OUT, ctl_out, 0x0501, IPC_SERVICES, IPC_CTL, 0)               \
	M(CTL_END, ctl_end, 0x0502, IPC_SERVICES, IPC_CTL, 0)
/* clang-format on */

#define IPC_BIT(s) (1U << (s))
#define IPC_SMTPD IPC_BIT(SERVICE_SMTPD)
#define IPC_QMGR IPC_BIT(SERVICE_QMGR)
#define IPC_ROUTER IPC_BIT(SERVICE_ROUTER)
#define IPC_LOGD IPC_BIT(SERVICE_LOGD)
#define IPC_BOUNCED IPC_BIT(SERVICE_BOUNCED)
#define IPC_WRITERS (IPC_SMTPD | IPC_BIT(SERVICE_BOUNCED))
#define IPC_DELIVERERS (IPC_BIT(SERVICE_DELIVER) | IPC_BIT(SERVICE_LOCAL))
#define IPC_DNSCACHE IPC_BIT(SERVICE_DNSCACHE)
#define IPC_DNS_ASKERS (IPC_SMTPD | IPC_QMGR | IPC_ROUTER | IPC_BIT(SERVICE_DELIVER))
#define IPC_SERVICES (IPC_BIT(SERVICE_COUNT) - 1)
#define IPC_CTL IPC_BIT(SERVICE_CTL)
#define IPC_PARENT (1U << 30)
#define IPC_WORKER (1U << 31)
#define IPC_ANY (IPC_SERVICES | IPC_PARENT | IPC_WORKER)

/* The edge version that this release writes and the oldest that it reads. */
enum { IPC_VERSION_MIN = 1, IPC_VERSION_MAX = 1 };

#endif
