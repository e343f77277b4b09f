# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A group g with one feature n, fed by a topic of events whose keys are its entities. To be read after lib.sh.

# events_schema [LINE...]: its definition, with more lines for the stream.
events_schema() {
	cat <<'END'
[group]
entity = user
[feature n]
type = int64
[stream events]
topic = events
entity = key
feature.n = $.n
END
	(($# == 0)) || printf '%s\n' "$@"
}

define_events() {
	events_schema "$@" | define g
}

# number FROM COUNT: as many messages; the one of entity uN says N.
number() {
	for ((i = $1; i < $1 + $2; i++)); do
		echo "u$i:{\"n\":$i}"
	done | produce events -K :
}
