#!/bin/bash
# SPDX-License-Identifier: MIT
# mtime is when the value was true, ctime when it came in. Newest wins: an older time is ESTALE, an equal one wins by coming later, a write
# without a time always shows, and times far ahead are refused.
# claims: T1 T2 T4 T5 T6 T7
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
END
e=$MNT/g/u1
mkdir "$e"
second=1000000000

before=$(date +%s%N)
echo 1 > "$e/n"
after=$(date +%s%N)
read -r mtime ctime <<< "$(fsop times "$e/n")"
same "$((mtime >= before && mtime <= after && ctime >= before && ctime <= after))" 1 "a plain write is true now"
gives ok futime "$e/n" $'2\n' $((mtime + 1))
gives ok futime "$e/n" $'3\n' $((mtime + 1))
same "$(cat "$e/n")" 3 "at a tie the later one"
read -r m2 c2 <<< "$(fsop times "$e/n")"
same "$m2" $((mtime + 1))
same "$((c2 > ctime))" 1
gives 'close: ESTALE' futime "$e/n" $'4\n' "$mtime"
last_error g 'u1/n stale \(errno 116\)'
gives 'close: ESTALE' futime "$e/n" $'4\n' 0
same "$(cat "$e/n")" 3
gives ok futime "$e/s" $'long ago\n' 123456789
same "$(stat -c %y "$e/s")" '1970-01-01 00:00:00.123456789 +0000'
same "$(getfattr --only-values -n user.event_time "$e/s" | cut -c-19)" 1970-01-01T00:00:00
gives ok futime "$e/s" $'before 1970\n' $((123456789 + 1))
ok given times

# What stands may be ahead of the clock, within the bound: a plain write still shows, just after it.
ahead=$(($(date +%s%N) + 100 * second))
gives ok futime "$e/n" $'5\n' $ahead
echo 6 > "$e/n"
same "$(cat "$e/n")" 6
same "$(fsop times "$e/n" | cut -d' ' -f1)" $((ahead + 1))
for i in 7 8 9; do
	echo $i > "$e/n"
	same "$(cat "$e/n")" $i
done
gives 'close: EINVAL' futime "$e/n" $'10\n' $(($(date +%s%N) + 400 * second))
last_error g 'u1/n .*ahead of the clock'
same "$(cat "$e/n")" 9
expect_fail EINVAL touch -d '+1 day' "$e/n"
ok ahead of the clock

gives ok utime "$e/n" $((1600000000 * second))
same "$(stat -c %Y "$e/n")" 1600000000
gives ok utime "$e/n" $((1700000000 * second))
same "$(stat -c '%Y %s' "$e/n")" '1700000000 2'
gives 'close: ESTALE' futime "$e/n" $'1\n' $((1600000000 * second))
gives ok futime "$e/n" $'1\n' $((1700000001 * second))
ok set by path

rm "$e/n"
gives ok futime "$e/n" $'11\n' $((1600000000 * second))
same "$(cat "$e/n")" 11 "over a removed value"
same "$(($(fsop times "$e/n" | cut -d' ' -f1) > 1700000001 * second))" 1 "stamped just after the removal"
rm -r "$e"
mkdir "$e"
gives ok futime "$e/n" $'12\n' $((1600000000 * second))
same "$(cat "$e/n")" 12 "over a removed entity"
remount
same "$(cat "$e/n")" 12
ok over what was removed

# The first time that there is, longer ago than a span of 64 bits holds.
echo '{"entity": "u2", "event_time": "1677-09-22T00:00:00Z", "features": {"n": 1}}' > "$MNT/g/.upsert"
same "$(getfattr --only-values -n user.event_time "$MNT/g/u2/n" | cut -c-10)" 1677-09-22
same "$(getfattr --only-values -n user.age "$MNT/g/u2/n" | cut -d. -f1)" 9223372036 "the longest age there is"
same "$(sed -n 's/^oldest_age_seconds: \([0-9]*\).*/\1/p' "$MNT/g/.stats")" 9223372036
expect_write_fail EINVAL "$MNT/g/.upsert" '{"entity": "u3", "event_time": -9223372036.854775808, "features": {"n": 1}}'
ok the edges of time
stop_daemon

start_daemon -o ingest.future=10s
gives 'close: EINVAL' futime "$e/s" x $(($(date +%s%N) + 30 * second))
gives ok futime "$e/s" x $(($(date +%s%N) + 5 * second))
ok the bound is a setting
