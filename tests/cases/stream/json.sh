#!/bin/bash
# SPDX-License-Identifier: MIT
# A message becomes a file: typed, ordered by event time, with its place in the topic as its source. The lane goes on where it was behind a clean
# end and behind a crash, follows its definition without a restart, and counts each message once.
# claims: F1 F2 F3 F4 F5
. "$TESTS/lib.sh"

start_mock clicks:2
start_daemon -o "kafka.brokers=$BROKERS"
schema() {
	cat <<END
[group]
entity = user
owner = ada
[feature n]
type = int64
[feature name]
type = string
[stream clicks]
topic = clicks
format = json
entity = $.user
event_time = $.ts
feature.n = $.n
$*
END
}
schema | define g
eventually 20 lane_is g.clicks state running
same "$(lane g.clicks assigned)" 2

# One message, readable; where it came from is told.
produce clicks -k u1 -p 0 <<< '{"user":"u1","ts":"2026-11-20T00:00:00Z","n":5,"name":"ada"}'
eventually 20 test -e "$MNT/g/u1/n"
same "$(cat "$MNT/g/u1/n")" 5
absent "$MNT/g/u1/name"
same "$(getfattr --only-values -n user.source "$MNT/g/u1/n")" clicks/0/0
same "$(getfattr --only-values -n user.lane "$MNT/g/u1/n")" stream
same "$(getfattr --only-values -n user.event_time "$MNT/g/u1/n")" 2026-11-20T00:00:00Z
ok 'a message is a file'

# The newest event time wins, whatever the order and the partition.
produce clicks -k u1 -p 1 <<< '{"user":"u1","ts":"2026-11-19T00:00:00Z","n":4}'
eventually 20 lane_is g.clicks late 1
same "$(cat "$MNT/g/u1/n")" 5
eventually 20 lane_is g.clicks partition.1 'position 1 low 0 high 1 lag 0'

# A changed mapping, without a restart; no message is read twice.
schema 'feature.name = $.name' > "$MNT/g/.schema"
produce clicks -k u2 -p 0 <<< '{"user":"u2","ts":"2026-11-20T00:00:00Z","n":6,"name":"bob"}'
eventually 20 test -e "$MNT/g/u2/name"
same "$(cat "$MNT/g/u2/name")" bob
absent "$MNT/g/u1/name"
eventually 20 lane_is g.clicks messages 3

# Another stream of the same topic stands at a place of its own, and a filter keeps out what is not meant.
schema 'filter.user = u2
[stream names]
topic = clicks
entity = key
feature.name = $.name' > "$MNT/g/.schema"
eventually 20 lane_is g.names messages 3
same "$(cat "$MNT/g/u1/name")" ada
produce clicks -k u3 -p 0 <<< '{"user":"u3","ts":"2026-11-20T00:00:00Z","n":7,"name":"eve"}'
eventually 20 lane_is g.clicks filtered 1
eventually 20 test -e "$MNT/g/u3/name"
absent "$MNT/g/u3/n"
ok 'two streams of a topic'

# A tombstone deletes the entity that its key names.
produce clicks -K : -p 0 -Z <<< 'u3:'
eventually 20 lane_is g.names messages 5
absent "$MNT/g/u3"
eventually 20 lane_is g.clicks messages 5

# Clean ends and crashes: it goes on where it was.
for how in remount recrash recrash; do
	$how
	before=$(lane g.clicks messages)
	produce clicks -k u2 -p 0 <<< '{"user":"u2","ts":"2026-11-21T00:00:00Z","n":8,"name":"bob"}'
	eventually 20 lane_is g.clicks messages $((before + 1))
	eventually 20 lane_is g.names messages $((before + 1))
done
same "$(cat "$MNT/g/u2/n")" 8
eventually 20 lane_is g.clicks partition.0 "position $before low 0 high $before lag 0"
ok 'each message counts once'

# A section that is gone is no lane; put back, it goes on where it was.
schema 'feature.name = $.name' > "$MNT/g/.schema"
eventually 20 test ! -e "$MNT/.featurefs/lanes/g.names"
produce clicks -k u4 -p 0 <<< '{"user":"u4","ts":"2026-11-21T00:00:00Z","n":9,"name":"dan"}'
schema 'feature.name = $.name
[stream names]
topic = clicks
entity = key
feature.name = $.name' > "$MNT/g/.schema"
eventually 20 lane_is g.names messages $((before + 2))
eventually 20 lane_is g.clicks messages $((before + 2))

# What can't be compiled or has no brokers is said; renaming the group renames its lanes.
mv "$MNT/g" "$MNT/h"
eventually 20 lane_is h.clicks state running
same "$(lane h.clicks messages)" "$(lane h.names messages)"
[[ ! -e $MNT/.featurefs/lanes/g.clicks ]] || fail 'the old name is still there'
