#!/bin/bash
# SPDX-License-Identifier: MIT
# An operator warms the serving mount: a whole group, a list of entities, what a view is made of; then reading asks the daemon for nothing.
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV"
for name in n m; do printf '[feature %s]\ntype = int64\n' $name; done | define users
printf '[group]\nentity = user, item\n[feature price]\ntype = float64\n' | define pairs
for i in $(seq 0 99); do printf '{"entity": "u%d", "features": {"n": %d, "m": 1}}\n' "$i" "$i"; done > "$MNT/users/.upsert"
for i in $(seq 0 9); do printf '{"entity": "u%d,i%d", "features": {"price": 0.5}}\n' "$i" "$i"; done > "$MNT/pairs/.upsert"
mkdir "$MNT/.views/rank"
printf '[view]\nentity = user, item\n[columns]\nn = users/n\nprice = pairs/price\n[keys]\nusers = user\n' > "$MNT/.views/rank/.schema"
counter() {
	sed -n "s/^featurefs_serving_$1 //p" "$MNT/.featurefs/metrics"
}
asked() {
	echo "$(counter lookups_total) $(counter reads_total)"
}
warm() {
	featurectl -m "$MNT" warm "$@"
}

matches "$(warm users)" '^warmed: 100 entities, 200 files, [0-9]+ bytes in [0-9.]+ s$'
before=$(asked)
cat "$SRV"/users/u{0..99}/n "$SRV"/users/u{0..99}/m > /dev/null
same "$(asked)" "$before" 'lookups and reads of 200 files that were warmed'
same "$(warm users | cut -d, -f1-2)" 'warmed: 100 entities, 200 files'
read -r lookups reads <<< "$(asked)"
((lookups - ${before% *} <= 4 && reads - ${before#* } <= 2)) || fail "warmed again: from $before to $lookups $reads, beside the definition"
before=$(asked)
cat "$SRV/users/u1/.row" > /dev/null
same "$(asked)" "$(($(cut -d' ' -f1 <<< "$before") + 1)) $(($(cut -d' ' -f2 <<< "$before") + 1))" 'a row was not'
ok 'a group'

printf 'u1,i1\nu2,i2\nu3,i9\nnobody,i1\nu5\n\n' > "$DIR/keys"
same "$(featurectl -m "$SRV" warm --entities - rank < "$DIR/keys" | sed 's/, [0-9]* bytes in [0-9.]* s;/;/')" \
	'warmed: 6 entities, 6 files; 4 entities are not there'
before=$(asked)
cat "$SRV/pairs/u1,i1/price" "$SRV/pairs/u2,i2/price" "$SRV/users/u5/n" > /dev/null
same "$(asked)" "$before" 'what the view is made of'
cat "$SRV/pairs/u3,i3/price" > /dev/null
[[ $(asked) != "$before" ]] || fail 'a key that is not in the list was warmed'
same "$(warm rank | cut -d, -f1-2)" 'warmed: 110 entities, 110 files'
ok 'a view'

same "$(printf 'u7\n' | warm users --row --bin --entities - | cut -d, -f1-2)" 'warmed: 1 entities, 3 files'
before=$(asked)
cat "$SRV"/users/u7/{.row,n.bin,m.bin} > /dev/null
same "$(asked)" "$before" 'rows and binary forms'

status() {
	local rc=0

	"$@" > "$DIR/out" 2>&1 || rc=$?
	echo "$rc"
}
same "$(status warm nothing)" 1
matches "$(cat "$DIR/out")" 'there is no group and no view nothing'
same "$(status warm)" 2
same "$(status warm users --entities "$DIR/no such file")" 1
remount
daemon_args=()
remount
same "$(status warm users)" 1
matches "$(cat "$DIR/out")" 'has no serving mount: mount it with -o serve=DIR'
