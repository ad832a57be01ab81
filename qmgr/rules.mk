# SPDX-License-Identifier: ISC
LIBS += qmgr
