#!/bin/bash
# SPDX-License-Identifier: MIT
# verify says nothing against a sound store, and finds damage that is planted: a value that is not of its type, a name that is not in its form,
# a definition that does not fit its values, rows without a group, counters that are wrong, a cut log.
. "$TESTS/lib.sh"

start_daemon
define g <<'END'
[feature number]
type = int64
[feature word]
type = string
[feature list]
type = string[]
END
define empty <<'END'
[feature x]
type = bool
END
for i in 1 2 3; do
	printf '{"entity": "entity-%d", "features": {"number": %d, "word": "needle-%d", "list": ["a", "bc"]}}\n' $i $i $i
done > "$MNT/g/.upsert"
: > "$MNT/g/entity-3/number"
rm "$MNT/g/entity-2/word"
setfattr -n user.team -v blue "$MNT/g"

# exits STATUS COMMAND...: runs it, keeps what it says, and checks the exit status.
exits() {
	local status=$1 rc=0

	shift
	"$@" > "$DIR/out" 2> "$DIR/err" || rc=$?
	same "$rc" "$status" "$* said: $(cat "$DIR/out" "$DIR/err")"
}

exits 0 featurectl -m "$MNT" verify
same "$(cat "$DIR/out")" "verified: 2 groups, 3 entities, 8 values, no fault"
exits 0 featurectl verify -s "$STORE"
exits 2 featurectl -s "$STORE" verify "$STORE"
exits 1 featurectl verify "$DIR/nothing"
crash_daemon
clear_mount
exits 0 featurectl verify "$STORE"
start_daemon
stop_daemon
exits 0 featurectl verify "$STORE"
same "$(cat "$DIR/out")" "verified: 2 groups, 3 entities, 8 values, no fault"
ok a sound store

# damaged OLD NEW REGEX: in a copy of the store, each OLD in its map becomes NEW (Python bytes of one length): a fault that matches.
damaged() {
	rm -rf "$DIR/damaged"
	featurectl -s "$STORE" backup -q "$DIR/damaged" > "$DIR/out"
	python3 - "$DIR/damaged/data.mdb" "$1" "$2" <<'END'
import ast, sys
old, new = ast.literal_eval(sys.argv[2]), ast.literal_eval(sys.argv[3])
bytes = open(sys.argv[1], "rb").read()
assert len(old) == len(new) and old in bytes, "nothing to damage"
open(sys.argv[1], "r+b").write(bytes.replace(old, new))
END
	exits 3 featurectl verify "$DIR/damaged"
	matches "$(grep '^fault: ' "$DIR/out")" "$3"
	matches "$(tail -n 1 "$DIR/out")" '^verified: .* faults?$'
}

damaged 'b"needle-1"' 'b"\xffeedle-1"' 'g/entity-1/word: .*string'
damaged 'b"entity-3"' 'b"entit%-3"' '"entit%-3" is no entity.s name'
damaged 'b"type = int64"' 'b"type = int32"' 'g/entity-1/number: 8 bytes of type code .* are no int32'
damaged 'b"slot.list = 2"' 'b"slot.list = 9"' 'slot|catalog'
damaged 'b"[feature word]"' 'b"[feature wo d]"' 'the catalog cannot be read'
damaged 'b"rows = 1\n"' 'b"rows = 9\n"' 'table of rows 1 belongs to no group'
matches "$(cat "$DIR/out")" 'g: 3 entities are counted, 0 are there'
ok planted damage in the map
