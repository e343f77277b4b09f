#!/bin/bash
# SPDX-License-Identifier: MIT
# A definition grows: features are added, types widen, versions stand side by side, retired ones hide; what would change data is refused.
# claims: C4 C5 C6 C12
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon -o ingest.sweep_interval=200ms
schema=$MNT/g/.schema
define g <<'END'
[feature i]
type = int32
[feature f]
type = float32
[feature v]
type = float32[2]
[feature s]
type = string
END
e=$MNT/g/u1
mkdir "$e"
echo 2147483647 > "$e/i"
echo 0.1 > "$e/f"
echo '[0.5,1.5]' > "$e/v"
echo text > "$e/s"
refuses ERANGE "$e/i" $'2147483648\n'
times=$(fsop times "$e/i")

sed -i -e 's/int32/int64/' -e 's/^type = float32$/type = float64/' -e 's/float32\[2\]/float64[]/' "$schema"
same "$(cat "$e/i" "$e/v" | xargs)" '2147483647 [0.5,1.5]'
same "$(cat "$e/f")" 0.10000000149011612
same "$(fsop times "$e/i")" "$times" "no value was touched"
same "$(stat -c %s "$e/i.bin")" 8
gives ok put "$e/i" $'2147483648\n'
gives ok put "$e/v" $'[1,2,3]\n'
(cat "$schema"; printf '[feature n@v2]\ntype = string\n[feature n]\ntype = int64\n') > "$DIR/new"
cp "$DIR/new" "$schema"
echo 7 > "$e/n"
echo seven > "$e/n@v2"
same "$(cat "$e/n" "$e/n@v2" | xargs)" '7 seven'
gives 'open: EPERM' put "$e/n@v1" 1
gives 'open: EPERM' put "$e/n@v3" 1
same "$(jq -c '[.features.n, .features["n@v2"]]' "$e/.row")" '[7,"seven"]'
gives ok put "$e/.row" '{"features": {"n@v2": "acht"}}'
same "$(cat "$e/n@v2")" acht
ok adding, widening, versions

cp "$schema" "$DIR/now"
# refused SED REASON
refused() {
	sed "$1" "$DIR/now" > "$DIR/bad"
	expect_fail EINVAL cp "$DIR/bad" "$schema"
	last_error g "bad_schema.*$2"
	same_file "$DIR/now" "$schema"
}
refused 's/^type = int64$/type = int32/' '[in]'
refused 's/^type = string$/type = bytes/' 's'
refused '/\[feature s\]/,/^type/d' 's.*retired'
refused 's/float64\[\]/float64[2]/' 'v'
refused 's/^type = float64$/type = int64/' 'f'
refused 's/\[feature n@v2\]/[feature n@v1]/' '@v1'
expect_fail EBUSY setfattr -n user.entity -v 'user_id, doc_id' "$MNT/g"
ok what would change data

sed 's/\[feature s\]/&\nretired = yes/' "$DIR/now" > "$schema"
absent "$e/s"
gives 'open: EPERM' put "$e/s" x
refuses EPERM "$e/.row" '{"features": {"s": "x"}}'
same "$(jq '.features | has("s")' "$e/.row")" false
same "$(ls "$e" | grep -c '^s$' || true)" 0
same "$(cat "$e/i")" 2147483648
eventually 10 grep -qE '^swept: [1-9]' "$MNT/g/.stats"
sed 's/retired = yes//' "$schema" > "$DIR/back"
cp "$DIR/back" "$schema" || true
absent "$e/s"
same "$(cat "$e/n@v2")" acht
remount
absent "$e/s"
same "$(cat "$e/f")" 0.10000000149011612
ok retired
