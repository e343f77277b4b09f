#!/bin/bash
# SPDX-License-Identifier: MIT
# An Avro schema that changes while a lane reads: each message is read by the schema that it names. A field may come or go; one whose type does not
# fit any more makes dead letters, and nothing else; a schema that nobody knows makes one until it is there.
# claims: F6 F7
. "$TESTS/lib.sh"

mkdir "$DIR/schemas"
# schema ID FIELD:TYPE...
schema() {
	local fields=() field

	for field in "${@:2}"; do
		fields+=("{\"name\": \"${field%%:*}\", \"type\": \"${field#*:}\"}")
	done
	(IFS=,; printf '{"type": "record", "name": "Click", "fields": [%s]}\n' "${fields[*]}") > "$DIR/schemas/$1.avsc"
}
# message ID BYTES: in Confluent's framing; BYTES as printf has them.
message() {
	printf '\0\0\0\0'"\\x$(printf %02x "$1")$2" > "$DIR/message"
	kcat -P -b "$BROKERS" -t events -p 0 "$DIR/message"
}

schema 17 user:string n:long
start_mock events:1
start_daemon -o "kafka.brokers=$BROKERS,kafka.schema_folder=$DIR/schemas"
define g <<'END'
[group]
entity = user
[feature n]
type = int64
[feature x]
type = float64
[stream events]
topic = events
format = avro
entity = $.user
END
message 17 '\x04u1\x0a'				# u1, 5
eventually 20 lane_is g.events messages 1
same "$(cat "$MNT/g/u1/n")" 5

# A field is added, in front; another schema leaves one out. The old one may still come.
schema 18 x:double user:string n:long
message 18 '\0\0\0\0\0\0\xf8\x3f\x04u2\x0c'	# 1.5, u2, 6
schema 19 user:string x:double
message 19 '\x04u1\0\0\0\0\0\0\x04\x40'		# u1, 2.5
message 17 '\x04u3\x0e'				# u3, 7
eventually 20 lane_is g.events messages 4
same "$(cat "$MNT"/g/u1/{n,x} "$MNT"/g/u2/{n,x} "$MNT/g/u3/n" | tr '\n' ' ')" '5 2.5 6 1.5 7 '
absent "$MNT/g/u3/x"
same "$(lane g.events dead)" 0
ok 'fields come and go'

# Now n is a text: what it says is no number, so the message is dead, with the reason; those behind it are read.
schema 20 user:string n:string
message 20 '\x04u4\x08nine'
message 17 '\x04u5\x10'				# u5, 8
eventually 20 lane_is g.events messages 6
same "$(lane g.events dead)" 1
same "$(cat "$MNT/g/u5/n")" 8
absent "$MNT/g/u4"
matches "$(cat "$MNT/g/.dead/events")" '"reason":"n \(n\): Avro string '
matches "$(cat "$MNT/g/.dead/events")" '"partition":0,"offset":4'
ok 'a type that does not fit'

# A schema that nobody knows: its message is dead, too, and passes once the schema is there.
message 21 '\x12\x04u6'				# n first: 9, u6
message 17 '\x04u7\x12'				# u7, 9
eventually 20 lane_is g.events messages 8
same "$(cat "$MNT/g/u7/n")" 9
same "$(lane g.events dead)" 2
matches "$(tail -n 1 "$MNT/g/.dead/events")" '"reason":"there is no schema 21 in '
schema 21 n:long user:string
remount						# that there was none is remembered for some seconds
eventually 20 lane_is g.events state running
lane_tell g.events replay
eventually 20 lane_is g.events replayed 2
same "$(cat "$MNT/g/u6/n")" 9
absent "$MNT/g/u4"
ok 'a schema that comes later'

# While nobody can say what the schema is, the message waits, and how many wait behind it is told.
stop_daemon
start_daemon -o "kafka.brokers=$BROKERS,kafka.schema_folder=$DIR/schemas,kafka.schema_registry=http://127.0.0.1:9"
message 22 '\x04u8\x14'				# u8, 10
eventually 20 lane_is g.events state blocked
matches "$(lane g.events reason)" 'schema 22: http://127.0.0.1:9/'
message 17 '\x04u9\x16'				# u9, 11
eventually 20 lane_is g.events lag 2
absent "$MNT/g/u9"
schema 22 user:string n:long
eventually 20 test -e "$MNT/g/u9/n"
same "$(cat "$MNT/g/u8/n")" 10
eventually 20 lane_is g.events lag 0
