# SPDX-License-Identifier: ISC
# Each target on lines of its own: FUZZERS += NAME, fuzz_NAME_DEPS := the libraries it links.
