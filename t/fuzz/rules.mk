# SPDX-License-Identifier: ISC
# Each target on lines of its own: FUZZERS += NAME, fuzz_NAME_DEPS := the libraries it links.

FUZZERS += command address stream
fuzz_command_DEPS := libcommon/smtp
fuzz_address_DEPS := libcommon/mail
fuzz_stream_DEPS := libcommon/smtp
FUZZERS += record
fuzz_record_DEPS := libcommon/spool
FUZZERS += journal
fuzz_journal_DEPS := libcommon/spool
FUZZERS += sendmail
fuzz_sendmail_DEPS := ctl

FUZZERS += conf
fuzz_conf_DEPS := libcommon/conf

FUZZERS += session
fuzz_session_DEPS := smtpd
FUZZERS += ipc
fuzz_ipc_DEPS := libcommon/ipc
FUZZERS += log
fuzz_log_DEPS := libcommon/base
FUZZERS += dns
fuzz_dns_DEPS := dnscache
FUZZERS += dsn
fuzz_dsn_DEPS := bounced
FUZZERS += alias
fuzz_alias_DEPS := qmgr/router
FUZZERS += maillog
fuzz_maillog_DEPS := logd
