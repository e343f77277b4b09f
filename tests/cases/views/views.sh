#!/bin/bash
# SPDX-License-Identifier: MIT
# A ranking model reads features of two groups through one view: made, defined, refused, read in both forms, renamed, outdated and removed.
# claims: J1 J2 J3 J4
. "$TESTS/lib.sh"

start_daemon
define users <<'END'
[group]
entity = user_id
[feature clicks]
type = int64
[feature vec]
type = float32[2]
[feature name]
type = string
END
define prices <<'END'
[group]
entity = item_id, day
ttl = 2s
[feature price]
type = float64
[feature on_sale]
type = bool
END
views=$MNT/.views
view=$views/ranking
mkdir "$view"
same "$(stat -c %F "$view")" directory
expect_fail EEXIST mkdir "$view"
expect_fail EINVAL mkdir "$views/no good"
cat > "$view/.schema" <<'END'
[view]
owner = ranking
description = What ranking reads.
[columns]
clicks = users/clicks
vec = users/vec
price = prices/price
sale = prices/on_sale
END
same "$(cat "$view/.schema")" "[view]
entity = user_id, item_id, day
owner = ranking
description = What ranking reads.

[columns]
clicks = users/clicks
vec = users/vec
price = prices/price
sale = prices/on_sale"
same "$(getfattr --only-values -n user.owner "$view" 2> /dev/null)" ranking
setfattr -n user.tier -v 1 "$view"
expect_fail EINVAL setfattr -n user.ttl -v 3d "$view"
ok defined

mkdir "$MNT/users/42" "$MNT/prices/7,mon"
echo 3 > "$MNT/users/42/clicks"
echo '[1.5,-2]' > "$MNT/users/42/vec"
json() {
	jq -c .features "$view/json/$1"
}
floats() {
	/usr/bin/python3 -c 'import struct, sys; b = open(sys.argv[1], "rb").read(); print(*struct.unpack("<%df" % (len(b) // 4), b))' "$view/f32/$1"
}
same "$(json 42,7,mon)" '{"clicks":3,"vec":[1.5,-2]}'
same "$(jq -r .entity "$view/json/42,7,mon")" 42,7,mon
same "$(floats 42,7,mon)" '3.0 1.5 -2.0 nan nan'
same "$(stat -c '%s %a' "$view/f32/42,7,mon")" '20 444'
# The group's values expire after two seconds, which a slow machine may take for these lines: so they are true in an hour.
touch -d '+4 minutes' "$DIR/later"
for pair in price=9.25 on_sale=1; do
	echo "${pair#*=}" > "$DIR/value"
	touch -r "$DIR/later" "$DIR/value"
	cp -p "$DIR/value" "$MNT/prices/7,mon/${pair%=*}"
done
same "$(json 42,7,mon)" '{"clicks":3,"vec":[1.5,-2],"price":9.25,"sale":true}'
same "$(floats 42,7,mon)" '3.0 1.5 -2.0 9.25 1.0'
same "$(json 42,8,mon)" '{"clicks":3,"vec":[1.5,-2]}'
same "$(json 1,7,mon)" '{"price":9.25,"sale":true}'
mkdir "$MNT/prices/8,mon"
: > "$MNT/users/42/name"
echo 1 > "$MNT/prices/8,mon/price"
until ! [[ -e $MNT/prices/8,mon/price ]]; do sleep 0.1; done
same "$(json 42,8,mon)" '{"clicks":3,"vec":[1.5,-2]}' expired
expect_fail ENOENT cat "$view/json/1,1,mon"
expect_fail ENOENT cat "$view/json/42,7"
expect_fail ENOENT cat "$view/json/42"
expect_fail EPERM touch "$view/json/1,2,mon"
expect_fail EPERM mkdir "$view/other"
ok read

refused() {
	printf '%s\n' "$1" > "$DIR/schema"
	expect_fail EINVAL cp "$DIR/schema" "$view/.schema"
	grep -qF "$2" <<< "$(tail -n 1 "$view/.errors")" || fail "the reason is not '$2' but: $(tail -n 1 "$view/.errors")"
}
before=$(cat "$view/.schema")
refused $'[view]\n[columns]\na = users/nothing' 'group users has no feature nothing'
refused $'[view]\n[columns]\na = nobody/clicks' 'there is no group nobody'
refused $'[view]\nentity = user_id\n[columns]\na = prices/price' "not among the view's keys (user_id)"
same "$(cat "$view/.schema")" "$before"
ok refused

mv "$MNT/users" "$MNT/people"
mv "$view" "$views/rank"
view=$views/rank
same "$(sed -n '/clicks/p' "$view/.schema")" 'clicks = people/clicks'
same "$(json 42,1,mon)" '{"clicks":3,"vec":[1.5,-2]}'
sed -i 's/^clicks = .*/hits = people\/clicks/' "$view/.schema"
same "$(json 42,1,mon)" '{"hits":3,"vec":[1.5,-2]}'
printf '[view]\nentity = u\n[columns]\nn = people/name\n[keys]\npeople = u\n' > "$view/.schema"
same "$(json 42)" '{"n":null}'
expect_fail EINVAL cat "$view/f32/42"
grep -q 'column n is string' "$view/.errors"
printf '[view]\nentity = u\n[columns]\nhits = people/clicks\nvec = people/vec\n[keys]\npeople = u\n' > "$view/.schema"
same "$(json 42)" '{"hits":3,"vec":[1.5,-2]}'
sed -i 's/^type = int64/&\nretired = yes/' "$MNT/people/.schema"
expect_fail EINVAL cat "$view/json/42"
grep -q 'feature clicks of people (column hits) is retired' "$view/.errors"
remount
expect_fail EINVAL cat "$view/json/42"
sed -i '/^hits/d' "$view/.schema"
same "$(json 42)" '{"vec":[1.5,-2]}'
ok outdated

mkdir "$views/second"
same "$(ls "$views")" $'rank\nsecond'
rm -r "$view"
same "$(ls "$views")" second
rmdir "$views/second"
same "$(ls "$views")" ''
