#!/bin/bash
# SPDX-License-Identifier: MIT
# STORE on a small file system of its own that fills up: writers get ENOSPC, readers go on, removing gives room again, and nothing that was
# acknowledged is lost, not even when the daemon dies while the disk is full.
# claims: B1 K1
# limit: 120
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
. "$TESTS/helpers/fill.sh"
. "$TESTS/helpers/small_disk.sh"

small_disk 60M
expect_log 'No space|full|space'
start_daemon -o log.segment_size=1M -o checkpoint.bytes=1M -o checkpoint.interval=200ms
mkdir "$MNT/g"
for i in $(seq 40); do mkdir "$MNT/g/spare$i"; done
fill_up g 200000
same "$((full > 20))" 1 "$full pieces of 200 kB"
last=$((full - 1))
same_file "$DIR/piece" "$MNT/g/e$last/raw"
same "$(cat "$MNT/g/first/n")" 7
same "$(ls "$MNT/g" | grep -c . | awk -v f="$full" '{ print ($1 >= f) }')" 1
before=$(grep -c no_space "$MNT/g/.errors" || true)
# A checkpoint may give pages back after a refusal, and then there is room for some more.
refused=0
for i in $(seq 40); do
	cp "$DIR/piece" "$MNT/g/spare$i/raw" 2> "$DIR/said" || refused=$((refused + 1))
	((refused < 2)) || break
done
same "$refused" 2 'refused'
matches "$(cat "$DIR/said")" 'No space left on device'
same "$(grep -c 'no_space.*the map or the disk is full' "$MNT/g/.errors")" "$((before + 2))" 'both are in .errors, with the reason'
kill -0 "$daemon_pid"
ok ENOSPC, and reads go on

for i in $(seq 1 $((last / 2))); do
	rm -r "$MNT/g/e$i" || fail "removing must work when the disk is full"
done
eventually 20 cp "$DIR/piece" "$MNT/g/first/raw"
same_file "$DIR/piece" "$MNT/g/first/raw"
ok room again after removing

for i in $(seq 400); do
	mkdir "$MNT/g/x$i" 2> /dev/null || break
	cp "$DIR/piece" "$MNT/g/x$i/raw" 2> /dev/null || break
done
present=$(cd "$MNT/g" && for f in */raw; do [[ $(stat -c %s "$f") == 200000 ]] && echo "$f"; done)
recrash
for f in $present; do
	same_file "$DIR/piece" "$MNT/g/$f"
done
same "$(cat "$MNT/g/first/n")" 7
rm -r "$MNT"/g/x*
eventually 20 bash -c 'echo 8 > "$1"' - "$MNT/g/first/n"
remount
same "$(cat "$MNT/g/first/n")" 8
ok over a crash with a full disk

# A few removals are enough if they give as much as deletions keep for themselves, which a start on a full disk has found to be used up.
head -c 1000000 /dev/urandom > "$DIR/piece"
# fill NAME: makes entities NAME1, NAME2, ... with a piece each until there is no room.
fill() {
	local i

	for i in $(seq 60); do
		mkdir -p "$MNT/g/$1$i" 2> /dev/null || return 0
		cp "$DIR/piece" "$MNT/g/$1$i/raw" 2> /dev/null || return 0
	done
	fail "60 pieces of 1 MB had room"
}
full=
for i in 1 2 3 4 5; do
	fill "y$i."
	remount
	cp "$DIR/piece" "$MNT/g/first/raw" 2> /dev/null || { full=1; break; }
done
same "$full" 1 'a start finds the disk full'
# How many there are hangs on what the disk's own file system takes of it.
pieces=$(find "$MNT/g" -path '*/y*/raw' -size 1000000c)
remove_pieces() {
	local removed

	removed=$(head -n 7 <<< "$pieces")
	same "$(wc -l <<< "$removed")" 7 'pieces to remove'
	xargs -d '\n' rm <<< "$removed"
	pieces=$(tail -n +8 <<< "$pieces")
}
remove_pieces
eventually 5 cp "$DIR/piece" "$MNT/g/first/raw"
same_file "$DIR/piece" "$MNT/g/first/raw"
ok a few removals

# A reader that stays in one snapshot holds what is removed; it is room when that reader has gone, though nothing else happens.
"$BIN/tests/helpers/sdkop" hold "$STORE" 300 > "$DIR/held" &
reader=$!
eventually 10 grep -q holding "$DIR/held"
remove_pieces
fill z
kill -KILL "$reader"
wait "$reader" 2> /dev/null || true
eventually 10 cp "$DIR/piece" "$MNT/g/first/raw"
same_file "$DIR/piece" "$MNT/g/first/raw"
umount "$MNT"
daemon_ended
ok a reader that held it
