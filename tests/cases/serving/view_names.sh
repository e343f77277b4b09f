#!/bin/bash
# SPDX-License-Identifier: MIT
# Very many rows of a view are opened by their names, and asked for in vain: the kernel is made to let go of those names while they are few, so that neither
# memory grows nor anybody waits until they are thrown away. What is open stays as it was, what is opened is right. Also on a kernel that can't be
# told to let go of what has a number, nor to forget everything at once.
# limit: 120
# claims: S9
. "$TESTS/lib.sh"
. "$TESTS/helpers/preload.sh"

ROWS=2500 SRV=$DIR/srv
mkdir "$SRV"
counter() { sed -n "s/^featurefs_serving_$1 //p" "$MNT/.featurefs/metrics"; }
few_nodes() { (($(counter nodes) < 2000)); }
are_taken_back() { (($(counter row_names_taken_back_total) >= $1)); }
cat > "$DIR/open.py" << 'END'
import os, sys
view, rows, value = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
kept = []
def check(form, i, got):
    assert len(got) == 4 if form == "f32" else b'"n": %d}' % (value + i) in got, (form, i, got)
for form in ("json", "f32"):
    for i in range(rows):
        fd = os.open("%s/%s/u%d" % (view, form, i), os.O_RDONLY)
        if i % 100 == 0:
            kept.append((form, i, fd))
            continue
        check(form, i, os.read(fd, 1000))
        os.close(fd)
for form, i, fd in kept:
    got = os.read(fd, 1000)
    assert os.fstat(fd).st_size == len(got), (form, i, got)
    check(form, i, got)
for i in range(rows):
    for name in ("%s/json/nobody%d" % (view, i), "%s/f32/nobody" % view):
        try:
            os.stat(name)
        except FileNotFoundError:
            continue
        sys.exit(name)
END
cat > "$DIR/again.py" << 'END'
import os, sys
for i in range(8000):
    os.close(os.open(sys.argv[1] + "/u7", os.O_RDONLY))
    assert not os.path.exists(sys.argv[1] + "/nobody")
END
open_all() { /usr/bin/python3 "$DIR/open.py" "$SRV/.views/v" "$ROWS" "$1"; }
put() {
	local i

	for ((i = 0; i < ROWS; i++)); do printf '{"entity": "u%d", "features": {"n": %d}}\n' "$i" "$(($1 + i))"; done > "$MNT/g/.upsert"
}
walk() {
	local names

	mkdir "$MNT/.views/v"
	printf '[view]\n[columns]\nn = g/n\n' > "$MNT/.views/v/.schema"
	put "$1"
	open_all "$1"
	eventually 30 few_nodes
	eventually 30 are_taken_back $((2 * ROWS - 2000 + ROWS / 2))
	exec 7< "$SRV/.views/v/json/u1"
	put "$(($1 + 10))"
	open_all "$(($1 + 10))"
	matches "$(cat <&7)" "\"n\": $(($1 + 1))}"
	exec 7<&-
	eventually 30 few_nodes
	names=$(counter row_names_taken_back_total)
	/usr/bin/python3 "$DIR/again.py" "$SRV/.views/v/json"
	(($(counter row_names_taken_back_total) - names < 4000)) || fail 'names that are asked for again and again are taken back each time'
	rmdir "$MNT/.views/v"
	absent "$SRV/.views/v" "$SRV/.views/v/json" "$SRV/.views/v/json/u1"
}

start_daemon -o serve="$SRV",store.durability=relaxed
printf '[feature n]\ntype = int64\n' | define g
walk 100
stop_daemon
ok "names are taken back"

echo old > "$DIR/words"
export FORGET_FILE=$DIR/words
start_preloaded forget_preload -o serve="$SRV",store.durability=relaxed
walk 200
ok 'and name by name'
