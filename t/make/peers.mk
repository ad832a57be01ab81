# SPDX-License-Identifier: ISC
# Other people's programs for the tests, unpacked below build/, never installed.
.PHONY: peers
peers:
	@PEERS=$(abspath $(BUILD))/peers sh t/tool/peers.sh fetch
