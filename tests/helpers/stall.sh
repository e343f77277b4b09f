# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# start_stalling [OPTIONS...]: start_daemon with a disk that stalls while the file $STALL_FILE is there (no sync ends) or $STALL_WRITES (no write
# ends), or for what $STALL_READS and $FAIL_SYNCS name; see tests/torture/stall_preload.c.
. "$TESTS/helpers/preload.sh"

start_stalling() {
	export STALL_FILE=$DIR/stall STALL_WRITES=$DIR/stall-writes STALL_READS=$DIR/stall-reads FAIL_SYNCS=$DIR/fail-syncs LET_GO_FILE=$DIR/let-go
	start_preloaded stall_preload "$@"
}
