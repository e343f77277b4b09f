# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Checks on single file operations and their errnos; see fsop.py. To be read after lib.sh.

fsop() {
	"$TESTS/helpers/fsop.py" "$@"
}

# gives WANTED ARGUMENTS...: what fsop prints.
gives() {
	same "$(fsop "${@:2}" 2>&1 || true)" "$1" "${@:2}"
}

# refuses ERRNO FILE DATA...: open, write or close fails with that errno.
refuses() {
	local said

	said=$(fsop put "${@:2}" 2>&1 || true)
	same "${said#*: }" "$1" "put ${*:2}"
}

# takes FILE TEXT READS: TEXT with a newline is written without an error, and READS is what stands then.
takes() {
	gives ok put "$1" "$2"$'\n'
	same "$(cat "$1")" "$3" "$1 after $2"
}

# last_error GROUP REGEX: the newest line of the group's .errors.
last_error() {
	matches "$(tail -n 1 "$MNT/$1/.errors")" "$2" "last line of $1/.errors"
}

# seconds_of FILE: its mtime in whole seconds.
seconds_of() {
	stat -c %Y "$1"
}
