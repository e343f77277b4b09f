# SPDX-License-Identifier: MIT
# Checks the include lines of src/*/*.[ch] against src/LAYERS: awk -f layers.awk src/LAYERS src/*/*.[ch]
# A room includes only rooms that it lists; a foreign header that any room reserves is for those who list it; of another room only the
# door, and what the door itself includes, may be seen. Doors are read first, from the files that follow.

function room_of(path) { sub(/^src\//, "", path); sub(/\/.*/, "", path); return path }
function complain(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }

BEGIN {
	while ((getline line < ARGV[1]) > 0) {
		sub(/#.*/, "", line)
		n = split(line, word, /[ \t:]+/)
		if (n < 2)
			continue
		known[word[1]] = 1
		for (i = 2; i <= n; i++) {
			may[word[1], word[i]] = 1
			if (word[i] ~ /^</)
				reserved[word[i]] = 1
		}
	}
	for (room in known) {
		door = room "/" room ".h"
		public[door] = 1
		while ((getline line < ("src/" door)) > 0)
			if (match(line, /^#include "[^"]+"/))
				public[substr(line, 11, RLENGTH - 11)] = 1
	}
}

FNR == 1 { room = room_of(FILENAME); if (FILENAME ~ /\.[ch]$/ && !(room in known)) complain("room " room " is not in src/LAYERS") }
FILENAME == ARGV[1] { next }
/^#[ \t]*include/ {
	name = $2
	if (name ~ /^</) {
		if (name in reserved && !((room, name) in may))
			complain(room " must not include " name)
		next
	}
	gsub(/"/, "", name)
	other = name
	sub(/\/.*/, "", other)
	if (name !~ /\//)
		complain("include from src/: \"" room "/" name "\"")
	else if (other == room)
		next
	else if (!((room, other) in may))
		complain(room " must not include " other)
	else if (other != "base" && !(name in public))
		complain(name " is private to " other)
}
END { exit bad }
