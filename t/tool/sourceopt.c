/* SPDX-License-Identifier: ISC */
#include "t/tool/sourceopt.h"

#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"

static long
number(const char *text, long max)
{
	const char *err;
	long long n = strtonum(text, 0, max, &err);

	if (err != NULL)
		die(EXIT_USAGE, "%s is %s", text, err);
	return (long)n;
}

void
sourceopt_read(struct sourceopt *o, int argc, char *argv[])
{
	static char name[64];
	bool host = false;
	int c;

	*o = (struct sourceopt){ .sessions = 1,
		.rcpts = 1,
		.limit_s = 600,
		.messages = 1,
		.size = 1024,
		.acks = -1,
		.marks = -1,
		.from = "source@test.example",
		.rcpt = "sink@test.example",
		.helo = "source.test.example" };
	while ((c = getopt(argc, argv, "a:c:f:h:H:i:Ikl:m:M:n:Pqr:R:s:t:Tu:w:")) != -1) {
		switch (c) {
		case 'a':
			o->acks = net_append_open(optarg);
			break;
		case 'c':
			o->opening = number(optarg, 1000000);
			break;
		case 'f':
			o->from = optarg;
			break;
		case 'h':
			host = true;
			if (net_addr_parse(&o->to, optarg) < 0)
				die(EXIT_USAGE, "-h takes HOST:PORT, not '%s'", optarg);
			break;
		case 'H':
			o->helo = optarg;
			break;
		case 'i':
			o->run = optarg;
			break;
		case 'I':
			o->idle = true;
			break;
		case 'k':
			o->keep = true;
			break;
		case 'l':
			o->size = (size_t)number(optarg, 1L << 30);
			break;
		case 'm':
			o->messages = number(optarg, 100000000);
			break;
		case 'M':
			o->marks = net_append_open(optarg);
			break;
		case 'n':
			o->per_session = (int)number(optarg, 1000000);
			break;
		case 'P':
			o->pipelining = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'r':
			o->rcpts = (int)number(optarg, 100000);
			break;
		case 'R':
			o->rate = number(optarg, 1000000);
			break;
		case 's':
			o->sessions = (int)number(optarg, 19000);
			break;
		case 't':
			o->rcpt = optarg;
			break;
		case 'T':
			o->stamp = true;
			break;
		case 'u':
			o->rcpt_wrap = number(optarg, 100000000);
			break;
		case 'w':
			o->limit_s = (int)number(optarg, 100000);
			break;
		default:
			die(EXIT_USAGE, "see the head of t/tool/smtpsource.c");
		}
	}
	if (!host || optind != argc || o->sessions == 0 || o->rcpts == 0)
		die(EXIT_USAGE, "-h HOST:PORT is needed; see the head of t/tool/smtpsource.c");
	if (o->sessions > o->messages && !o->idle)
		o->sessions = o->messages == 0 ? 1 : (int)o->messages;
	if (o->run == NULL) {
		snprintf(name, sizeof name, "%llx.%d", (long long)time(NULL), (int)getpid());
		o->run = name;
	}
}
