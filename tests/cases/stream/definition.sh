#!/bin/bash
# SPDX-License-Identifier: MIT
# A stream that could not work is refused where it is written, whole, with the section and the reason; what only the brokers can tell is a state.
# claims: F10
. "$TESTS/lib.sh"

start_daemon
define g <<'END'
[group]
entity = user
[feature n]
type = int64
END
before=$(cat "$MNT/g/.schema")
attempt() {
	printf '%s\n[stream s]\n%s\n' "$before" "$1" > "$DIR/schema"
	cat "$DIR/schema" > "$MNT/g/.schema"
}
refused() {
	expect_fail EINVAL attempt "$1"
	matches "$(tail -n 1 "$MNT/g/.errors")" "$2"
	same "$(cat "$MNT/g/.schema")" "$before"
	absent "$MNT/.featurefs/lanes/g.s"
}
refused 'format = json' 'stream s.*topic is not set'
refused 'topic = no topic' 'stream s.*a topic.s name has letters'
refused $'topic = t\nformat = xml' 'format is json, avro or csv'
refused $'topic = t\nentity = $.a[' 'stream s.*entity'
refused $'topic = t\nentity = a, b' 'stream s.*entity'
refused $'topic = t\nevent_time = $..' 'stream s.*event_time'
refused $'topic = t\nevent_time_unit = weeks' 'stream s.*event_time_unit'
refused $'topic = t\nfeature.m = $.m' 'feature.m|feature "m"|m'
refused $'topic = t\nfeature.n = a[b' 'stream s.*feature.n'
refused $'topic = t\nstart = yesterday' 'stream s.*start = yesterday: it is earliest, latest, or a time like 2026-11-23T04:00:00Z'
refused $'topic = t\nreset = maybe' 'stream s.*reset = maybe: it is earliest, latest or stop'
refused $'topic = t\ndead_letter_topic = t' "stream s.*dead_letter_topic is the stream's own topic"
refused $'topic = t\nspeed = 3' 'no key "speed"'
ok 'refused with the reason'

attempt $'topic = t\nfeature.n = $.n'
eventually 20 lane_is g.s state broken
matches "$(lane g.s reason)" 'kafka.brokers is not set'
# Another number of keys would leave the stream without a way to name an entity.
before=$(cat "$MNT/g/.schema")
sed -i 's/^feature.n = /entity = key\nfeature.n = /' "$DIR/schema"
cat "$DIR/schema" > "$MNT/g/.schema"
expect_fail EINVAL setfattr -n user.entity -v user,item "$MNT/g"
same "$(getfattr --only-values -n user.entity "$MNT/g")" user
# A section can be appended, as to any file.
printf '[stream t]\ntopic = t\n' >> "$MNT/g/.schema"
eventually 20 lane_is g.t state broken
