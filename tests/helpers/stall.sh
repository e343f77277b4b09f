# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# start_stalling [OPTIONS...]: start_daemon with a disk that stalls while the file $STALL_FILE is there (no sync ends) or $STALL_WRITES (no write
# ends), or for what $STALL_READS and $FAIL_SYNCS name; see tests/torture/stall_preload.c.

start_stalling() {
	local stall=$BIN/tests/torture/stall_preload.so

	if [[ ! -e $stall ]]; then
		need cc
		stall=$DIR/stall.so
		cc -shared -fPIC -D_GNU_SOURCE -o "$stall" "$TESTS/torture/stall_preload.c" -ldl
	fi
	# A sanitizer's own library must come first.
	case $SAN in
	*address*) stall="$(cc -print-file-name=libasan.so) $stall" ;;
	*thread*) stall="$(cc -print-file-name=libtsan.so) $stall" ;;
	esac
	export STALL_FILE=$DIR/stall STALL_WRITES=$DIR/stall-writes STALL_READS=$DIR/stall-reads FAIL_SYNCS=$DIR/fail-syncs LET_GO_FILE=$DIR/let-go
	mkdir -p "$DIR/bin"
	printf '#!/bin/sh\nexec env LD_PRELOAD="%s" "%s/featurefs" "$@"\n' "$stall" "$BIN" > "$DIR/bin/featurefs"
	chmod +x "$DIR/bin/featurefs"
	PATH="$DIR/bin:$PATH" start_daemon "$@"
}
