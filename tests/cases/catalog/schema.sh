#!/bin/bash
# SPDX-License-Identifier: MIT
# .schema: written whole or refused whole, with file, line and reason; read back in a canonical form that can be written back.
# claims: C1 C2 C3 C9 C12
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need vim.tiny

start_daemon
mkdir "$MNT/user_stats"
same "$(getfattr --only-values -n user.owner "$MNT/user_stats")" "$(id -un)"
matches "$(cat "$MNT/user_stats/.schema")" '^\[group\]'
cat > "$MNT/user_stats/.schema" <<'END'
; a comment
[group]
entity=user_id
owner = growth-ml
description =   Rolling click behaviour per user
tier = 1
ttl = 30d

[feature clicks_7d]
type = int64
min = 0
description = Clicks in the last seven days
[feature embedding]
type = float32[384]
index = cosine
[feature note]
type = string
max_length = 80
enum = a, b,c
not_null = yes

[stream clicks]               ; values of this group from a topic
topic = user-clicks
format = json                 ; json | avro | csv
entity = $.user.id
event_time = $.ts
start = earliest
feature.clicks_7d = $.stats.clicks

[batch]
entity = uid
event_time = computed_at
feature.clicks_7d = clicks
END
schema=$MNT/user_stats/.schema
cp "$schema" "$DIR/canonical"
for line in 'entity = user_id' 'owner = growth-ml' 'description = Rolling click behaviour per user' 'tier = 1' 'ttl = 30d' \
	'[feature clicks_7d]' 'type = int64' 'min = 0' 'type = float32[384]' 'index = cosine' 'max_length = 80' '[stream clicks]' \
	'topic = user-clicks' 'format = json' 'entity = $.user.id' 'feature.clicks_7d = $.stats.clicks' '[batch]' 'event_time = computed_at'; do
	grep -qxF "$line" "$DIR/canonical" || fail "not in the canonical form: $line"
done
same "$(grep -c ';' "$DIR/canonical" || true)" 0
cp "$DIR/canonical" "$schema"
same_file "$DIR/canonical" "$schema"
same "$(stat -c %s "$schema")" "$(wc -c < "$DIR/canonical")"
ok canonical

mkdir "$MNT/user_stats/u1"
echo 3 > "$MNT/user_stats/u1/clicks_7d"
times=$(fsop times "$MNT/user_stats/u1/clicks_7d")
# refused REASON: the definition on standard input is refused for that reason, and the one that stands goes on.
refused() {
	cat > "$DIR/bad.ini"
	expect_fail EINVAL cp "$DIR/bad.ini" "$schema"
	last_error user_stats "\\.schema .*bad_schema.*$1"
	same_file "$DIR/canonical" "$schema"
}
refused ':2: .*int65' <<< $'[feature x]\ntype = int65'
(cat "$DIR/canonical"; printf '[feature x]\ncolour = red\ntype = int64\n') | refused 'colour'
(cat "$DIR/canonical"; printf '[feature 7x]\ntype = int64\n') | refused '7x'
(cat "$DIR/canonical"; printf '[feature x]\nmin = 0\n') | refused 'type'
(cat "$DIR/canonical"; printf '[feature x]\ntype = int64\nmin = 5\nmax = 4\n') | refused 'm(in|ax)'
(cat "$DIR/canonical"; printf '[feature x]\ntype = int64\nmin = five\n') | refused 'min'
(cat "$DIR/canonical"; printf '[feature x]\ntype = bool\nmax_length = 3\n') | refused 'max_length'
(cat "$DIR/canonical"; printf '[feature clicks_7d]\ntype = int64\n') | refused 'clicks_7d'
(cat "$DIR/canonical"; printf '[feature x]\ntype = int64\nindex = cosine\n') | refused 'index'
(cat "$DIR/canonical"; printf '[nonsense]\na = b\n') | refused 'no such section'
sed 's/tier = 1/tier = 9/' "$DIR/canonical" | refused 'tier'
sed 's/ttl = 30d/ttl = soon/' "$DIR/canonical" | refused 'ttl'
refused '.' <<< 'no ini at all'
printf '[feature x]\ntype = int64\n\0' | refused 'NUL'
printf '[feature x]\ntype = int64\ndescription = \xff\n' | refused 'UTF-8'
(cat "$DIR/canonical"; printf '[feature x]\ntype = int64\ndescription = %09000d\n' 1) | refused '.'
: > "$schema"
same_file "$DIR/canonical" "$schema"
same "$(cat "$MNT/user_stats/u1/clicks_7d")" 3
same "$(fsop times "$MNT/user_stats/u1/clicks_7d")" "$times"
ok refused whole

sed -i 's/Rolling/Sliding/' "$schema"
grep -q Sliding "$schema"
vim.tiny -u NONE -i NONE -es -c '%s/Sliding/Moving/' -c wq "$schema"
grep -q Moving "$schema"
same "$(fsop times "$MNT/user_stats/u1/clicks_7d")" "$times" "values are as they were"
(cat "$schema"; printf '\n[feature long]\ntype = string\ndescription = %s\n' "$(head -c 500 /dev/zero | tr '\0' d)") > "$DIR/new"
tee "$schema" < "$DIR/new" > /dev/null
same "$(grep -c 'ddddd' "$schema")" 1
cp "$schema" "$DIR/last"
remount
same_file "$DIR/last" "$schema"
same "$(cat "$MNT/user_stats/u1/clicks_7d")" 3
ok edited in place, and kept
