#!/bin/bash
# SPDX-License-Identifier: MIT
# Definitions are checked without a store, with file and line of a mistake, and applied to a mount: made, changed, left alone. What can be
# judged beforehand is judged for all files before the first is applied.
. "$TESTS/lib.sh"

export FEATUREFS_MOUNT=$MNT
mkdir "$DIR/defs"
cat > "$DIR/defs/user_stats.ini" <<'END'
; a comment
[group]
entity = user_id
owner = ada
[feature clicks]
type = int64
min = 0
[feature name]
type = string
END
cat > "$DIR/defs/docs.ini" <<'END'
[feature embedding]
type = float32[2]
END
printf '[feature a]\ntype = int64\n\n[feature b]\ntype = int65\n' > "$DIR/defs/bad.ini"

# exits STATUS COMMAND...: runs it, keeps what it says, and checks the exit status.
exits() {
	local status=$1 rc=0

	shift
	"$@" > "$DIR/out" 2> "$DIR/err" || rc=$?
	same "$rc" "$status" "$* said: $(cat "$DIR/out" "$DIR/err")"
}

exits 0 featurectl check "$DIR/defs/user_stats.ini" "$DIR/defs/docs.ini"
same "$(cat "$DIR/out")" "$DIR/defs/user_stats.ini: ok, 2 features
$DIR/defs/docs.ini: ok, 1 feature"
exits 3 featurectl check "$DIR/defs/bad.ini" "$DIR/defs/docs.ini"
matches "$(cat "$DIR/err")" "/bad.ini:5: .*int65"
matches "$(cat "$DIR/out")" "docs.ini: ok"
exits 1 featurectl check "$DIR/defs/none.ini"
matches "$(cat "$DIR/err")" "none.ini: No such file"
exits 2 featurectl check
exits 2 featurectl -m "$MNT" check "$DIR/defs/docs.ini"
ok check without a store

start_daemon
exits 0 featurectl apply "$DIR/defs/user_stats.ini" "$DIR/defs/docs.ini"
same "$(cat "$DIR/out")" "user_stats: created
docs: created"
grep -qx 'owner = ada' "$MNT/user_stats/.schema"
exits 0 featurectl apply "$DIR/defs/user_stats.ini"
same "$(cat "$DIR/out")" "user_stats: unchanged"
printf '[feature ctr]\ntype = float32\n' >> "$DIR/defs/user_stats.ini"
exits 0 featurectl apply "$DIR/defs/user_stats.ini" "$DIR/defs/docs.ini"
same "$(cat "$DIR/out")" "user_stats: changed
docs: unchanged"
grep -qx '\[feature ctr\]' "$MNT/user_stats/.schema"
ok created, changed, unchanged

# A mistake in any file keeps the others from being applied.
cp "$MNT/user_stats/.schema" "$DIR/before"
printf '[feature more]\ntype = bool\n' >> "$DIR/defs/user_stats.ini"
printf '[feature x]\ntype = bool\n' > "$DIR/defs/new.ini"
exits 3 featurectl apply "$DIR/defs/new.ini" "$DIR/defs/user_stats.ini" "$DIR/defs/bad.ini"
matches "$(cat "$DIR/err")" "bad.ini:5: .*nothing was changed"
same_file "$DIR/before" "$MNT/user_stats/.schema"
absent "$MNT/new" "$MNT/bad"

# So does one that does not follow from what is there: a type that does not widen, a feature that is left out.
printf '[feature clicks]\ntype = string\n' > "$DIR/defs/user_stats.ini"
exits 3 featurectl apply "$DIR/defs/new.ini" "$DIR/defs/user_stats.ini"
matches "$(cat "$DIR/err")" "user_stats.ini: .*"
printf '[feature clicks]\ntype = int64\n' > "$DIR/defs/user_stats.ini"
exits 3 featurectl apply "$DIR/defs/new.ini" "$DIR/defs/user_stats.ini"
matches "$(cat "$DIR/err")" "left out"
absent "$MNT/new"
same_file "$DIR/before" "$MNT/user_stats/.schema"
ok all files are judged first

cp "$DIR/defs/docs.ini" "$DIR/defs/9docs.ini"
exits 3 featurectl apply "$DIR/defs/9docs.ini"
matches "$(cat "$DIR/err")" '"9docs" can.t be one'
mkdir "$DIR/defs/more"
cp "$DIR/defs/docs.ini" "$DIR/defs/more/docs.ini"
exits 2 featurectl apply "$DIR/defs/docs.ini" "$DIR/defs/more/docs.ini"
matches "$(cat "$DIR/err")" "both define the group docs"

# Other keys of entities are refused only while there are rows.
printf '[group]\nentity = a, b\n[feature x]\ntype = bool\n' > "$DIR/defs/new.ini"
exits 0 featurectl apply "$DIR/defs/new.ini"
printf '[group]\nentity = a\n[feature x]\ntype = bool\n' > "$DIR/defs/new.ini"
exits 0 featurectl apply "$DIR/defs/new.ini"
same "$(cat "$DIR/out")" "new: changed"
mkdir "$MNT/new/e"
printf '[group]\nentity = a, b\n[feature x]\ntype = bool\n' > "$DIR/defs/new.ini"
exits 3 featurectl apply "$DIR/defs/new.ini"
matches "$(cat "$DIR/err")" "while the group has entities"
ok names and keys
