/* SPDX-License-Identifier: ISC */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

/* clang-format off */
/*
 * THE table of the configuration. The parser, its checks, the defaults, the fields of struct conf
 * and struct scope_values, `angctl config eval` and the tables of angarium.conf(5) expand from it.
 *
 *	K(TYPE, field, "key", "default", min, max, "help in mdoc")
 *
 * Types, how they are written, and the C type of the field:
 *
 *	NAME      a host name                                  const char *
 *	PATH      an absolute path                             const char *
 *	BOOL      yes, no, true, false, on, off                bool
 *	INT       decimal digits                               uint64_t
 *	SIZE      bytes; K, M, G multiply by 1024              uint64_t, bytes
 *	DURATION  1h30m of ms s m h d w; 0 needs no unit       uint64_t, ms (so the field ends in _ms)
 *	LEVEL     debug, info, notice, warning, error          uint64_t, enum log_level
 *	SERVICES  list of service words                        uint64_t, bit 1 << enum service
 *	DOMAINS   list of domains, ".x.org": all below x.org   struct conf_domains
 *	NETS      list of address/bits                         struct conf_nets
 *	ADDR      an address without a port                    struct conf_addr
 *	LISTENS   list of address:port                         struct conf_listens
 *	HOP       host, host:port, address:port, or ""         struct conf_hops of at most one
 *	HOPS      list of those, in the order of trial         struct conf_hops
 *	CLASS     mx, submission, local                        uint64_t, enum origin_class
 *	FILE      an absolute path, or "" for none             const char *, NULL: none
 *	USERS     nss, or an absolute path                     const char *, NULL: nss
 *	MAILBOX   local@domain, or "" for none                 const char *, NULL: none
 *	CHARS     at most 8 of  + - _ = . # % & ! ~            const char *, NULL: none
 *	SERVERS   list of address or address:port              struct conf_listens
 *	LOCALLY   local, lmtp:unix:/path, lmtp:host:port       struct conf_locally
 *	BELOW     a path below a home folder, or "" for none    const char *, NULL: none
 *	RATE      100/1h, "100/1h burst 20", none              struct gcra_rate, burst 0: not said
 *	BUCKETS   list of names of bucket sections             struct conf_buckets
 *	POOL      name of a binding or group, or "" for none    const char *, NULL: none
 *	PRIORITY  -9 to 9 (RFC 6710)                            int64_t
 *
 * min and max bound numbers, and the number of elements of lists (max 0: CONF_LIST_MAX).
 */

/* Hold for the whole house: at the top level of the file only. */
#define CONF_KEYS(K)                                                                                    \
	K(NAME, hostname, "hostname", "", 0, 0,                                                         \
	    "The name of this host in greetings, in Received fields and in message ids. "               \
	    "Not set: the node name of the system, see uname(2), when the generation was made.")       \
	K(NAME, myorigin, "myorigin", "", 0, 0,                                                         \
	    "The domain that completes an address without one. "                                        \
	    "Not set: the first line of /etc/mailname if it is a host name, else \"hostname\".")        \
	K(PATH, run_dir, "run_dir", "/run/angarium", 0, 0,                                              \
	    "Sockets and configuration generations. Read at start only.")                               \
	K(PATH, spool_dir, "spool_dir", "/var/spool/angarium/queue", 0, 0,                              \
	    "The queue. Read at start only.")                                                           \
	K(PATH, drop_dir, "drop_dir", "/var/spool/angarium/drop", 0, 0,                                 \
	    "Where sendmail(8) leaves mail while nothing listens. Read at start only.")                 \
	K(PATH, log_dir, "log_dir", "/var/log/angarium", 0, 0, "The logs. Read at start only.")         \
	K(INT, id_base, "id_base", "0", 0, 2147483647,                                                  \
	    "0: services run as the users of their names. Else they run with numeric ids that begin "   \
	    "here, and no accounts are needed. Read at start only.")                                    \
	K(SERVICES, sandbox_off, "sandbox_off", "", 0, 0,                                               \
	    "Services that may run outside of their sandbox. Each says so in the log at its start. "    \
	    "Read at start only.")                                                                      \
	K(LEVEL, log_level, "log_level", "info", 0, 0, "Events below this level are not written.")      \
	K(BOOL, mail_log, "mail_log", "yes", 0, 0,                                                      \
	    "Write mail.log in the log folder as well: the lines that Postfix would write.")            \
	K(BOOL, mail_log_rfc3339, "mail_log_rfc3339", "no", 0, 0,                                       \
	    "Stamps like 2026-11-21T14:05:09.123456+01:00 in mail.log, instead of Nov 21 14:05:09.")    \
	K(NAME, syslog_name, "syslog_name", "postfix", 0, 0,                                            \
	    "The name before the slash in these lines, and in those to syslog.")                        \
	K(FILE, syslog_socket, "syslog_socket", "", 0, 0,                                               \
	    "A syslog daemon's socket, such as /dev/log, to which the same lines go; see logd(8) for "  \
	    "where it should be. Empty: none. Read at start only.")                                     \
	K(LISTENS, metrics_listen, "metrics_listen", "", 0, 4,                                          \
	    "Where logd serves counters to Prometheus by HTTP, such as 127.0.0.1:9724. Whoever can "    \
	    "connect can read them. Empty: nowhere. Read at start only.")                               \
                                                                                                        \
	K(SIZE, message_size_limit, "message_size_limit", "52428800", 65536, 1073741824,                \
	    "Bytes of a message as SMTP counts them; said to clients by SIZE (RFC 1870).")              \
	K(INT, recipients_max, "recipients_max", "1000", 100, 100000,                                   \
	    "Recipients of a message that comes by SMTP (RFC 5321 4.5.3.1.8 asks for 100).")            \
	K(INT, recipients_max_local, "recipients_max_local", "50000", 100, 1000000,                     \
	    "Recipients of a message that comes by the local socket.")                                  \
	K(INT, received_max, "received_max", "50", 10, 1000,                                            \
	    "A message with more Received fields is refused as looping, 554 5.4.6.")                    \
	K(INT, command_line_max, "command_line_max", "2048", 512, 65536,                                \
	    "Bytes of a command line with its CRLF.")                                                   \
	K(INT, errors_max, "errors_max", "20", 1, 10000,                                                \
	    "A session with so many refused commands is ended, 421.")                                   \
	K(INT, sessions_max, "sessions_max", "10000", 1, 1000000,                                       \
	    "Sessions at a time, over all workers.")                                                    \
	K(INT, sessions_per_client, "sessions_per_client", "100", 1, 1000000,                           \
	    "Sessions at a time from one address, or from one IPv6 network of 64 bits.")                \
	K(NETS, sessions_exempt, "sessions_exempt", "127.0.0.0/8, [::1]/128", 0, 0,                     \
	    "Networks for which \"sessions_per_client\" and the rates below do not hold.")              \
	K(RATE, client_connection_rate, "client_connection_rate", "none", 0, 0,                         \
	    "New sessions from one client, counted like \"sessions_per_client\", as 60/1m; beyond it "  \
	    "421 before the greeting. Without a word on bursts so many may come at once.")              \
	K(RATE, client_message_rate, "client_message_rate", "none", 0, 0,                               \
	    "Messages that a client may begin, over all its sessions; beyond it MAIL gets 450.")        \
	K(RATE, client_recipient_rate, "client_recipient_rate", "none", 0, 0,                           \
	    "Recipients that a client may name, good and bad ones; beyond it RCPT gets 450.")           \
	K(DURATION, command_timeout_ms, "command_timeout", "5m", 1000, 86400000,                        \
	    "Wait for the next command (RFC 5321 4.5.3.2.7).")                                          \
	K(DURATION, data_timeout_ms, "data_timeout", "5m", 1000, 86400000,                              \
	    "Wait for the next block of message data.")                                                 \
	K(DURATION, session_time_ms, "session_time_max", "2h", 10000, 604800000,                        \
	    "The longest life of a session; it ends with 421 before the next message.")                 \
	K(DURATION, shutdown_data_grace_ms, "shutdown_data_grace", "30s", 0, 600000,                    \
	    "After SIGTERM, time to finish message data that is under way.")                            \
	K(SIZE, in_flight_bytes, "in_flight_bytes", "256M", 1048576, 1099511627776,                     \
	    "Bytes of message data in memory over all sessions; beyond it new data waits, then 452.")   \
	K(SIZE, disk_floor, "disk_floor", "64M", 0, 1099511627776,                                      \
	    "Below so many free bytes in the spool no mail is accepted, 452.")                          \
	K(INT, drop_max_per_user, "drop_max_per_user", "1000", 1, 1000000,                              \
	    "Files of one user in the drop folder that are taken up in one round.")                     \
	K(DURATION, ask_timeout_ms, "ask_timeout", "10s", 100, 300000,                                  \
	    "Wait for another service's answer; then the client hears 451.")                            \
	K(INT, mx_workers, "mx_workers", "0", 0, 256,                                                   \
	    "Reception processes for listeners of class mx; 0: one for each core. "                     \
	    "Read at start only.")                                                                      \
                                                                                                        \
	K(PATH, bounce_rules, "bounce_rules", "/etc/angarium/bounce.rules", 0, 0,                       \
	    "Rules that class replies, see bounce.rules(5). Another folder: read at start only.")       \
	K(SIZE, bounce_size_limit, "bounce_size_limit", "50000", 0, 1048576,                            \
	    "A notice of failure holds the whole message up to this size, where its sender did not "    \
	    "ask for RET=HDRS; else its header section, and of that no more than this.")                \
	K(MAILBOX, double_bounce_to, "double_bounce_to", "", 0, 0,                                      \
	    "Where notices go for mail with the null sender that failed. Empty: none is sent.")         \
	K(DURATION, delay_notice_ms, "delay_notice", "4h", 0, 31536000000,                              \
	    "Age at which a delay is told, once, to senders that asked by NOTIFY=DELAY. 0: never.")     \
	K(BOOL, delay_notice_unasked, "delay_notice_unasked", "no", 0, 0,                               \
	    "Tell of delays also where no NOTIFY was given.")                                           \
                                                                                                        \
	K(NETS, relay_networks, "relay_networks", "127.0.0.0/8, [::1]/128", 0, 0,                       \
	    "Clients that may send to any domain.")                                                     \
	K(NETS, submission_networks, "submission_networks", "127.0.0.0/8, [::1]/128", 0, 0,             \
	    "Clients that may submit by a listener of class submission.")                               \
	K(DOMAINS, relay_domains, "relay_domains", "", 0, 0,                                            \
	    "Domains to which any client may send.")                                                    \
	K(HOP, relay_host, "relay_host", "", 0, 0,                                                      \
	    "The next hop for every domain without a \"route\". Empty: the mail exchangers of each "     \
	    "domain, as the DNS has them, at \"smtp_port\".")                                                   \
	K(DOMAINS, local_domains, "local_domains", "", 0, 0,                                            \
	    "Domains whose mail ends here: aliases(5), then the local users. "                          \
	    "Not set: \"hostname\", \"myorigin\" and localhost.")                                       \
	K(DOMAINS, virtual_domains, "virtual_domains", "", 0, 0,                                        \
	    "Domains all of whose addresses are other names of addresses, by \"virtual_table\".")       \
	K(FILE, virtual_table, "virtual_table", "", 0, 0,                                               \
	    "Other names of addresses, of whatever domain: a text, or where the name ends in .tdb a "   \
	    "database of such; see router(8).")                                                         \
	K(FILE, route_table, "route_table", "", 0, 0,                                                   \
	    "Ways of addresses and domains, before \"route\": a text or a database, see router(8).")    \
	K(FILE, alias_file, "alias_file", "/etc/aliases", 0, 0,                                         \
	    "The other names of the local domains, see aliases(5). Empty: there are none.")             \
	K(FILE, alias_database, "alias_database", "", 0, 0,                                             \
	    "What newaliases(1) makes of them. Not set: the name of \"alias_file\" and .db behind it.") \
	K(CHARS, recipient_delimiter, "recipient_delimiter", "+", 0, 0,                                 \
	    "Any of these begins the extension of a local part: alice+shop is mail for alice.")         \
	K(USERS, local_users, "local_users", "nss", 0, 0,                                               \
	    "Who the local users are: those of the system, see nsswitch.conf(5), or the lines "         \
	    "name:uid:gid:home:mailbox of a file that only root may write.")                            \
	K(LOCALLY, local_transport, "local_transport", "local", 0, 0,                                   \
	    "What delivers to the local users: the service local, or a server of LMTP.")                \
	K(INT, local_uid_min, "local_uid_min", "1000", 1, 4294967294,                                    \
	    "Users with a lower number get no mail of their own; their aliases do. Lowered: local has to be started anew.")                    \
	K(BELOW, mailbox, "mailbox", "", 0, 0,                                                          \
	    "Where a local user's mail goes below home: with a slash at the end a Maildir, such as "    \
	    "\"Maildir/\", else an mbox. Empty: the mbox of the user's name in \"mail_dir\". The file "  \
	    "of \"local_users\" may say otherwise for a user.")                                         \
	K(PATH, mail_dir, "mail_dir", "/var/mail", 0, 0,                                                \
	    "The folder of the users' mboxes; where it belongs to group mail, deliveries have that "    \
	    "group.")                                                                                   \
	K(DURATION, mailbox_lock_ms, "mailbox_lock_timeout", "20s", 0, 600000,                          \
	    "How long a delivery waits for the locks of an mbox; then it is deferred.")                 \
	K(DURATION, local_time_ms, "local_time_max", "5m", 1000, 3600000,                               \
	    "The longest life of a delivery to one mailbox.")                                           \
	K(INT, local_children_max, "local_children_max", "20", 1, 1000,                                 \
	    "Deliveries to mailboxes at a time, a process each.")                                       \
	K(MAILBOX, postmaster, "postmaster", "", 0, 0,                                                  \
	    "Where mail for postmaster and root goes that no alias and no user takes.")                 \
	K(INT, expansion_max, "expansion_max", "10000", 1, 50000,                                       \
	    "Addresses that one recipient may become.")                                                 \
                                                                                                        \
	K(SERVERS, name_servers, "name_servers", "", 0, 8,                                              \
	    "The name servers that dnscache asks, by address, with a port where it is not 53. "         \
	    "Not set: those of /etc/resolv.conf, read at start only, or 127.0.0.1.")                    \
	K(PATH, cache_dir, "cache_dir", "/var/lib/angarium/dnscache", 0, 0,                             \
	    "Where dnscache keeps its cache while it is not running. Read at start only.")              \
	K(INT, dns_cache_entries, "dns_cache_entries", "100000", 1, 10000000,                           \
	    "Answers in the cache; beyond it those not asked for longest go.")                          \
	K(SIZE, dns_cache_bytes, "dns_cache_bytes", "32M", 65536, 1073741824,                           \
	    "Memory of the cache, likewise.")                                                           \
	K(DURATION, dns_ttl_min_ms, "dns_ttl_min", "5s", 0, 3600000,                                    \
	    "An answer is kept so long at least, whatever its time to live.")                           \
	K(DURATION, dns_ttl_max_ms, "dns_ttl_max", "1d", 1000, 604800000, "The same, at most.")         \
	K(DURATION, dns_negative_ttl_max_ms, "dns_negative_ttl_max", "1h", 0, 86400000,                 \
	    "That a name or a record is not there is believed so long at most (RFC 2308).")             \
	K(DURATION, dns_try_timeout_ms, "dns_try_timeout", "2s", 100, 60000,                            \
	    "Wait for one name server's answer before the next one is asked.")                          \
	K(INT, dns_tries, "dns_tries", "4", 1, 16,                                                      \
	    "Name servers asked one after the other, the same one again where there are fewer.")        \
	K(INT, dns_questions_max, "dns_questions_max", "1000", 8, 60000,                                \
	    "Questions open with name servers; half of them for any one service that asks. "            \
	    "Beyond it the answer is that it cannot be told now.")                                      \
	K(BOOL, dns_hosts, "dns_hosts", "no", 0, 0,                                                     \
	    "Answer names and addresses of /etc/hosts from there; read at start only.")                 \
                                                                                                        \
	K(INT, deliver_workers, "deliver_workers", "0", 0, 256,                                         \
	    "Delivery processes; 0: one for each core. Read at start only.")                            \
	K(INT, jobs_max, "jobs_max", "1000", 1, 1000000,                                                \
	    "Jobs handed to delivery whose results are not yet durable: the bound of the duplicates "   \
	    "that a crash can make.")                                                                   \
	K(DURATION, journal_hold_ms, "journal_hold", "100ms", 0, 1000,                                  \
	    "How long a result may wait for others before the journal is synced; where 64 wait, it is " \
	    "synced at once. After a power cut, what was delivered in that time may be delivered again.") \
	K(DURATION, failed_keep_ms, "failed_keep", "5d", 0, 31536000000,                                \
	    "How long a failed recipient waits for the notice to its sender to be written; then none is sent.")                                                \
	K(DURATION, host_rest_ms, "host_rest", "5m", 0, 86400000,                                       \
	    "How long a host that did not answer is left alone, whatever mail is for it; doubled each " \
	    "further time. Never longer than the waits of \"retry_first\" and \"retry_max\".")          \
	K(DURATION, host_rest_max_ms, "host_rest_max", "1h", 0, 86400000, "The longest such rest.")     \
	K(DURATION, dns_keep_min_ms, "dns_keep_min", "1m", 1000, 86400000,                              \
	    "What the DNS says of a next hop is kept so long at least, whatever its time to live.")     \
	K(DURATION, dns_keep_max_ms, "dns_keep_max", "1h", 1000, 604800000, "The same, at most.")

/*
 * Hold where no more specific scope says otherwise: at the top level and in domain, binding and
 * group sections. The most specific scope in which a key is set wins.
 */
#define CONF_SCOPED_KEYS(K)                                                                             \
	K(INT, connections, "concurrency", "20", 1, 100000,                                             \
	    "Connections at a time to one destination.")                                                \
	K(INT, rcpts, "recipients_per_transaction", "100", 1, 100000,                                   \
	    "Recipients in one SMTP transaction.")                                                      \
	K(INT, messages, "messages_per_connection", "1000", 1, 1000000,                                 \
	    "Messages over one connection before it is closed.")                                        \
	K(RATE, connection_rate, "connection_rate", "none", 0, 0,                                       \
	    "New connections to one destination, as 100/1m, evenly; \"100/1m burst 20\": 20 of them "   \
	    "at once after a rest. Not said: a tenth of the number.")                                   \
	K(RATE, message_rate, "message_rate", "none", 0, 0,                                             \
	    "Messages to one destination, likewise; each transaction counts as one.")                   \
	K(BUCKETS, buckets, "buckets", "", 0, 8,                                                        \
	    "Buckets that hold as well, shared with all that other scopes send to them. "               \
	    "Here all scopes add up: what a wider one names holds too.")                                \
	K(DURATION, retry_first_ms, "retry_first", "20m", 1000, 2592000000,                             \
	    "Wait after the first deferral; each further one doubles it.")                              \
	K(DURATION, retry_max_ms, "retry_max", "12h", 1000, 2592000000,                                 \
	    "The longest wait between two attempts. Below \"retry_first\" it is the only wait.")        \
	K(INT, retry_jitter, "retry_jitter", "10", 0, 100,                                              \
	    "Percent by which a wait is lengthened or shortened at random.")                            \
	K(DURATION, life_ms, "life", "5d", 0, 31536000000,                                              \
	    "Age at which mail that could not be delivered expires. 0: after the first attempt.")       \
	K(DURATION, life_bounce_ms, "life_bounce", "5d", 0, 31536000000,                                \
	    "The same for mail with the null sender.")                                                  \
	K(DURATION, connect_ms, "connect_timeout", "30s", 100, 3600000,                                 \
	    "Wait for a connection to one address.")                                                    \
	K(DURATION, banner_ms, "banner_timeout", "5m", 100, 3600000,                                    \
	    "Wait for the greeting (RFC 5321 4.5.3.2.1).")                                              \
	K(DURATION, helo_ms, "helo_timeout", "5m", 100, 3600000, "Wait for the reply to EHLO or HELO.") \
	K(DURATION, mail_ms, "mail_timeout", "5m", 100, 3600000,                                        \
	    "Wait for the reply to MAIL (RFC 5321 4.5.3.2.2).")                                         \
	K(DURATION, rcpt_ms, "rcpt_timeout", "5m", 100, 3600000,                                        \
	    "Wait for the reply to RCPT (RFC 5321 4.5.3.2.3).")                                         \
	K(DURATION, data_ms, "data_reply_timeout", "2m", 100, 3600000,                                  \
	    "Wait for the reply to DATA (RFC 5321 4.5.3.2.4).")                                         \
	K(DURATION, body_ms, "body_timeout", "3m", 100, 3600000,                                        \
	    "Wait until the receiver takes a block of data (RFC 5321 4.5.3.2.5).")                      \
	K(DURATION, dot_ms, "dot_timeout", "10m", 100, 3600000,                                         \
	    "Wait for the reply to the end of data (RFC 5321 4.5.3.2.6).")                                \
	K(INT, smtp_port, "smtp_port", "25", 1, 65535,                                                  \
	    "The port of next hops that name none, mail exchangers above all.")                         \
	K(INT, host_tries, "host_tries", "5", 1, 32,                                                    \
	    "Addresses that one attempt may try, in the order of their preference.")                    \
	K(BOOL, ipv4, "ipv4", "yes", 0, 0, "Use IPv4 addresses of next hops that are names.")           \
	K(BOOL, ipv6, "ipv6", "yes", 0, 0, "Use IPv6 addresses of next hops that are names.")           \
	K(BOOL, ipv6_first, "ipv6_first", "no", 0, 0,                                                   \
	    "Of a host that has both, try its IPv6 addresses first.")

/* In domain sections only, at the top level or inside a binding or group; inherited like the above. */
#define CONF_DOMAIN_KEYS(K)                                                                             \
	K(HOPS, route, "route", "", 0, 8,                                                               \
	    "Next hops for the domain, tried in this order. The empty list says that there is none, "   \
	    "whatever \"relay_host\" is. Not set anywhere: \"relay_host\", or where that is empty the "  \
	    "mail exchangers of the domain.")                                                           \
	K(POOL, pool, "pool", "", 0, 0,                                                                 \
	    "The binding or group that mail for the domain leaves by: its keys hold for it, and "       \
	    "connections come from its address, with a group from those of its members in turn.")

/* In binding sections only. */
#define CONF_BINDING_KEYS(K)                                                                            \
	K(ADDR, source, "source", "", 0, 0,                                                             \
	    "The address that connections of this binding come from. Not set: the system chooses.")

/* In bucket sections only. */
#define CONF_BUCKET_KEYS(K)                                                                             \
	K(INT, connections, "connections", "", 1, 100000, "Connections at a time. Not set: any number.") \
	K(RATE, connection_rate, "connection_rate", "none", 0, 0, "New connections, as 100/1m.")        \
	K(RATE, message_rate, "message_rate", "none", 0, 0,                                             \
	    "Messages, as 5000/1h or \"5000/1h burst 50\"; each transaction counts as one.")            \
	K(INT, rcpts, "recipients_per_transaction", "", 1, 100000,                                      \
	    "At most; a smaller number of the scope's own holds.")                                      \
	K(INT, messages, "messages_per_connection", "", 1, 1000000, "The same for these.")

/* In listen sections only. */
#define CONF_LISTEN_KEYS(K)                                                                             \
	K(CLASS, origin, "class", "mx", 0, 0,                                                           \
	    "mx: mail from anybody for our domains; submission: mail from our users; local: what the "  \
	    "local socket takes, for loopback addresses only.")                                         \
	K(LISTENS, at, "address", "", 1, 0, "Addresses and ports. Must be set.")                            \
	K(PRIORITY, priority, "priority", "0", 0, 0,                                                    \
	    "The priority of mail that brings none: above 0 it goes before, below 0 behind other mail " \
	    "for the same destination. Clients that we relay for may bring one (MT-PRIORITY, RFC 6710).")

/* clang-format on */

#endif
