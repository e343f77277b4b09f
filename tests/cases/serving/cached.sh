#!/bin/bash
# SPDX-License-Identifier: MIT
# What was read once is read again without a word to the daemon, and a change takes away the names that it changes and no others. Listing an
# entity brings all of its names. When the kernel forgets, the daemon does.
# claims: S3 S8
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV"
for i in 0 1 2 3 4 5 6 7 8 9; do printf '[feature f%d]\ntype = int64\n' $i; done | define g
for i in $(seq 0 99); do
	printf '{"entity": "u%d", "features": {"f0": %d, "f1": 1, "f2": 2, "f3": 3, "f4": 4, "f5": 5, "f6": 6, "f7": 7, "f8": 8, "f9": 9}}\n' "$i" "$i"
done > "$MNT/g/.upsert"
counter() {
	sed -n "s/^featurefs_serving_$1 //p" "$MNT/.featurefs/metrics"
}
paths=()
for i in $(seq 0 99); do paths+=("$SRV/g/u$i/f0"); done
# By cat: bash's own read asks of each file whether it is a terminal, which the kernel has no answer to.
read_all() {
	cat "${paths[@]}" | cmp - <(seq 0 99) || fail 'other values'
}

read_all
before=$(counter requests_total)
for _ in 1 2 3 4 5; do read_all; done
ls -ld "$SRV/g/u7/f0" "$SRV/g/u7" > /dev/null
same "$(counter requests_total)" "$before" '500 warm reads, requests before and after'
ok 'no request for what the kernel holds'

echo 1000 > "$MNT/g/u5/f1"
same "$(counter lookups_total)/$(counter reads_total)" "$(counter lookups_total)/$(counter reads_total)"
lookups=$(counter lookups_total) reads=$(counter reads_total)
read_all
same "$(counter lookups_total) $(counter reads_total)" "$lookups $reads" 'a neighbour changed'
echo 5 > "$MNT/g/u5/f0"
read_all
same "$(counter lookups_total) $(counter reads_total)" "$((lookups + 1)) $((reads + 1))" 'one of them changed'
setfattr -n user.tier -v 2 "$MNT/g"
read_all
same "$(counter lookups_total) $(counter reads_total)" "$((lookups + 1)) $((reads + 1))" 'metadata changed'
ok 'one change, one name'

lookups=$(counter lookups_total)
# shellcheck disable=SC2012
same "$(ls -l "$SRV/g/u50" | wc -l)" 11
same "$(counter lookups_total)" "$lookups" 'lookups of a listing'
cat "$SRV"/g/u50/f? > /dev/null
same "$(counter lookups_total)" "$lookups" 'lookups of what was listed'
ok 'a listing brings the names of its values'

names=$(counter names_forgotten_total)
for i in $(seq 1 50); do echo "$i" > "$MNT/g/u77/f9"; done
forgotten=$(($(counter names_forgotten_total) - names))
((forgotten <= 50)) || fail "$forgotten messages for 50 changes of what the kernel does not hold but its directory"
ok 'little is said of what the kernel does not hold'

nodes=$(counter nodes) bytes=$(counter node_bytes)
for i in $(seq 1000 3999); do printf '{"entity": "u%d", "features": {"f0": %d}}\n' "$i" "$i"; done > "$MNT/g/.upsert"
for i in $(seq 1000 3999); do read -r _ < "$SRV/g/u$i/f0"; done
held=$(($(counter nodes) - nodes))
((held >= 6000)) || fail "only $held nodes for 3000 entities and a value each"
each=$((($(counter node_bytes) - bytes) / 3000))
((each <= 256)) || fail "$each bytes for an entity and a value"
echo "an entity with one value: $each bytes"
for i in $(seq 1000 3999); do printf '{"entity": "u%d", "features": {"f0": 0}}\n' "$i"; done > "$MNT/g/.upsert"
same "$(cat "$SRV/g/u1000/f0" "$SRV/g/u3999/f0" | tr '\n' ' ')" '0 0 '
# In parts that are told name by name: what is forgotten as a whole stays where it is until the kernel needs the memory.
for part in 1000 2000 3000; do
	for i in $(seq "$part" $((part + 999))); do printf '{"entity": "u%d", "delete": true}\n' "$i"; done > "$MNT/g/.upsert"
done
absent "$SRV/g/u1000" "$SRV/g/u3999/f0"
forgot() {
	(($(counter nodes) < nodes + 1000))
}
eventually 10 forgot
ok 'what the kernel forgets, the daemon forgets'
