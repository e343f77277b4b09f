# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# start_preloaded NAME [OPTIONS...]: start_daemon with tests/torture/NAME.c between it and the kernel.

start_preloaded() {
	local name=$1 library=$BIN/tests/torture/$1.so

	shift
	if [[ ! -e $library ]]; then
		need cc
		library=$DIR/$name.so
		cc -shared -fPIC -D_GNU_SOURCE -o "$library" "$TESTS/torture/$name.c" -ldl
	fi
	# A sanitizer's own library must come first.
	case $SAN in
	*address*) library="$(cc -print-file-name=libasan.so) $library" ;;
	*thread*) library="$(cc -print-file-name=libtsan.so) $library" ;;
	esac
	mkdir -p "$DIR/bin"
	printf '#!/bin/sh\nexec env LD_PRELOAD="%s" "%s/featurefs" "$@"\n' "$library" "$BIN" > "$DIR/bin/featurefs"
	chmod +x "$DIR/bin/featurefs"
	PATH="$DIR/bin:$PATH" start_daemon "$@"
}
