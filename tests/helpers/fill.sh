# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Filling a store up. To be read after lib.sh.

# fill_up GROUP BYTES: makes the group and its entity `first`, whose n is 7, then gives e1, e2, ... a `raw` of $DIR/piece, which has so many
# bytes, until there is no room; the number of the entity that got none is in $full.
fill_up() {
	local i

	define "$1" <<'END'
[feature raw]
type = bytes
[feature n]
type = int64
END
	mkdir "$MNT/$1/first"
	echo 7 > "$MNT/$1/first/n"
	head -c "$2" /dev/urandom > "$DIR/piece"
	full=
	for i in $(seq 400); do
		mkdir "$MNT/$1/e$i" 2> "$DIR/said" || { full=$i; break; }
		cp "$DIR/piece" "$MNT/$1/e$i/raw" 2> "$DIR/said" || { full=$i; break; }
	done
	[[ -n $full ]] || fail "400 pieces of $2 bytes did not fill it"
	matches "$(cat "$DIR/said")" 'No space left on device'
}
