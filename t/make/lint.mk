# SPDX-License-Identifier: ISC
# make lint: clang-tidy over all of it, after what make check does at once: layering, headers alone.
SCRIPTS := $(shell find etc t -name '*.sh' | sort) $(wildcard $(addprefix etc/,s6/run s6/finish s6/log/run \
	runit/run runit/finish runit/check runit/log/run))
