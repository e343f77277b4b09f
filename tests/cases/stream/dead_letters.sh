#!/bin/bash
# SPDX-License-Identifier: MIT
# Messages that can't be applied go to the group's dead letters, with the reason and their bytes, and stop nothing. After a fix they are fed
# through again. A crash leaves one letter for each of them.
# claims: F6 F7
. "$TESTS/lib.sh"

need jq
chmod 755 "$DIR" "$(dirname "$DIR")"	# another user looks, too
start_mock events:1
start_daemon -o "kafka.brokers=$BROKERS" -o allow_other
define g <<'END'
[group]
entity = user
[feature n]
type = int64
min = 0
[feature name]
type = string
max_length = 10
[stream events]
topic = events
dead_letter_topic = dead-events
END
chmod 750 "$MNT/g"
eventually 20 lane_is g.events state running
dead=$MNT/g/.dead/events
absent "$dead"

# No JSON, broken rules, wrong types, a name that can't be, UTF-8 that is none, a number that is too large.
{
	echo 'not json'
	echo '{"user":"u1","n":-5}'
	echo '{"user":"u2","n":"many"}'
	echo '{"user":"u3","n":1.5}'
	echo '{"user":"","n":1}'
	printf '{"user":"u5","name":"\xff\xfe"}\n'
	echo '{"user":"u6","n":99999999999999999999}'
	echo '{"user":"u7","name":"longer than ten"}'
	printf '{"user":"u8","n":%s1%s}\n' "$(printf '[%.0s' {1..5000})" "$(printf ']%.0s' {1..5000})"
	echo '{"user":"good","n":7}'
} > "$DIR/lines"
produce events -H 'trace=a b' -k key < "$DIR/lines"
eventually 20 lane_is g.events messages 10
same "$(cat "$MNT/g/good/n")" 7
same "$(lane g.events dead)" 9
same "$(wc -l < "$dead")" 9
same "$(find "$MNT/g" -mindepth 1 -maxdepth 1 | wc -l)" 1
jq -r .offset "$dead" | tr '\n' ' ' > "$DIR/offsets"
same "$(cat "$DIR/offsets")" '0 1 2 3 4 5 6 7 8 '
same "$(jq -r 'select(.offset == 1) | .reason' "$dead")" 'n: -5 is below min = 0'
# The bytes are those that came.
jq -r 'select(.offset == 5) | .value' "$dead" | base64 -d | cmp - <(sed -n 6p "$DIR/lines" | head -c -1) || fail 'other bytes'
same "$(jq -r 'select(.offset == 5) | .key' "$dead" | base64 -d)" key
same "$(jq -r 'select(.offset == 5) | .headers[0][1]' "$dead" | base64 -d)" 'a b'
same "$(grep -c 'stream events/0/' "$MNT/g/.errors")" 9
ok 'letters with reason and bytes'

# They are copied to a topic, with headers that say why.
are_copied() {
	[[ $(kcat -C -b "$BROKERS" -t dead-events -o beginning -e -q -f '%o\n' | wc -l) == 9 ]]
}
eventually 20 are_copied
matches "$(kcat -C -b "$BROKERS" -t dead-events -o beginning -e -q -c 2 -f '%h\n' | tail -n 1)" \
	'trace=a b,.*featurefs.lane=g.events,featurefs.reason=n: -5 is below min = 0,featurefs.topic=events,.*featurefs.offset=1'

# They quote what came, so they are for those who may read the group.
same "$(stat -c %a "$dead")" 440
expect_fail EACCES as_user 12345 cat "$dead"
expect_fail EACCES as_user 12345 bash -c "echo replay > '$MNT/.featurefs/lanes/g.events/control'"
expect_fail EPERM rm "$dead"
expect_write_fail EPERM "$dead" x

# Behind a crash they are the same.
recrash
eventually 20 lane_is g.events state running
same "$(jq -r .offset "$dead" | tr '\n' ' ')" "$(cat "$DIR/offsets")"
same "$(lane g.events dead)" 9

# After a fix they are fed through again: those that are still bad are letters again.
sed -i 's/^min = 0$/min = -10/' "$MNT/g/.schema"
lane_tell g.events replay
eventually 20 lane_is g.events replayed 9
eventually 20 lane_is g.events replaying no
same "$(cat "$MNT/g/u1/n")" -5
same "$(wc -l < "$dead")" 8
same "$(getfattr --only-values -n user.source "$MNT/g/u1/n")" events/0/1
same "$(lane g.events dead)" 17
same "$(($(lane g.events messages) + $(lane g.events replayed)))" \
	"$(($(lane g.events applied) + $(lane g.events late) + $(lane g.events filtered) + $(lane g.events dead)))"
recrash
eventually 20 lane_is g.events state running
same "$(wc -l < "$dead")" 8
lane_tell g.events replay
eventually 20 lane_is g.events replayed 17
eventually 20 lane_is g.events replaying no
same "$(wc -l < "$dead")" 8

# A backup has them, too, and what is restored from it.
featurectl -m "$MNT" backup -q "$DIR/backup" > "$DIR/said"
featurectl restore -q "$DIR/backup" "$DIR/restored" > "$DIR/said"
for copy in backup restored; do
	(cd "$STORE/dead" && find . -type f -exec cmp {} "$DIR/$copy/dead/{}" \;) > "$DIR/differ"
	same "$(cat "$DIR/differ")" '' "$copy"
	same "$(cat "$DIR/$copy"/dead/*/events | wc -l)" 8
done
ok 'a backup has the letters'

# A producer whose clock is ahead by a year, and one a year behind.
kcat -P -b "$BROKERS" -t later -k '' <<< "{\"user\":\"ahead\",\"at\":\"$(date -u -d '+1 year' +%FT%TZ)\",\"n\":1}"
kcat -P -b "$BROKERS" -t later -k '' <<< "{\"user\":\"behind\",\"at\":\"$(date -u -d '-1 year' +%FT%TZ)\",\"n\":1}"
printf '[stream later]\ntopic = later\nevent_time = $.at\n' | cat "$MNT/g/.schema" - > "$DIR/schema"
cat "$DIR/schema" > "$MNT/g/.schema"
eventually 20 test -e "$MNT/g/behind/n"
# They may stand in two partitions.
eventually 20 test -s "$MNT/g/.dead/later"
absent "$MNT/g/ahead"
matches "$(jq -r .reason "$MNT/g/.dead/later")" 'more than 300 seconds ahead of the clock'
rm -r "$MNT/g/behind"
ok 'event times a year off'

# Where every message becomes a dead letter, the status and the log say why, and the lane goes on; one that is none ends it.
ahead=$(date -u -d '+1 year' +%FT%TZ)
for ((i = 0; i < 150; i++)); do
	echo "{\"user\":\"ahead\",\"at\":\"$ahead\",\"n\":$i}"
done | kcat -P -b "$BROKERS" -t later -k ''
eventually 20 lane_is g.later messages 152
same "$(lane g.later state)" running
matches "$(lane g.later reason)" "^the last 15[01] messages all became dead letters: their event times are ahead of this machine's clock: is it right\?"
same "$(grep -c "lane g.later: the last .* ahead of this machine's clock" "$LOG")" 1
matches "$(cat "$MNT/.featurefs/metrics")" "featurefs_stream_dead_in_a_row.*later\"} $(lane g.later dead_in_a_row)"
kcat -P -b "$BROKERS" -t later -k '' <<< "{\"user\":\"now\",\"at\":\"$(date -u +%FT%TZ)\",\"n\":2}"
eventually 20 lane_is g.later dead_in_a_row 0
same "$(lane g.later reason)" ''
same "$(cat "$MNT/g/now/n")" 2
rm -r "$MNT/g/now"
ok 'dead letters in a row'

# A message of 4 MiB (the mock keeps 5 of a partition), and one that fits behind it.
head -c 4194304 /dev/zero | tr '\0' x > "$DIR/big"
kcat -P -b "$BROKERS" -t events -X message.max.bytes=5000000 -k big "$DIR/big"
eventually 30 lane_is g.events dead 26
produce events <<< '{"user":"behind","n":1}'
eventually 30 test -e "$MNT/g/behind/n"
same "$(jq -r 'select(.offset == 10) | .value' "$dead" | base64 -d | md5sum)" "$(md5sum < "$DIR/big")"
ok 'a message of 4 MiB'

# Only so many bytes of letters are kept; that the oldest went is said.
stop_daemon
start_daemon -o "kafka.brokers=$BROKERS" -o kafka.dead_letter_bytes=64K -o allow_other
had=$(lane g.events messages)
seq -f 'no message %g' 1000 | produce events
eventually 30 lane_is g.events messages $((had + 1000))
dropped() {
	(($(lane g.events dead_letter_bytes_dropped) > 0 && $(lane g.events dead_letter_bytes) <= 65536))
}
eventually 20 dropped
matches "$(lane g.events notice)" 'more than kafka.dead_letter_bytes: the oldest are gone'
ok 'a bound on letters'

# A group that goes takes its letters with it.
rm -r "$MNT/g/u1" "$MNT/g/good" "$MNT/g/behind"
rmdir "$MNT/g"
eventually 20 rmdir "$STORE/dead"		# which takes away only an empty one
