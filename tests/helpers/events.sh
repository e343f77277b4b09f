# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A group g with one feature n, fed by a topic of events whose keys are its entities. To be read after lib.sh.

define_events() {
	define g <<'END'
[group]
entity = user
[feature n]
type = int64
[stream events]
topic = events
entity = key
feature.n = $.n
END
}

# number FROM COUNT: as many messages; the one of entity uN says N.
number() {
	for ((i = $1; i < $1 + $2; i++)); do
		echo "u$i:{\"n\":$i}"
	done | produce events -K :
}
