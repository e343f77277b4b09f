#!/bin/bash
# SPDX-License-Identifier: MIT
# Extended attributes of groups, the catalog's own and the team's: checked, kept, listed, probed, removed, as on any file system; and they
# are the same thing as .schema.
# claims: C7 C8 C12
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
END
g=$MNT/g
mkdir "$g/u1"
echo 1 > "$g/u1/n"
times=$(fsop times "$g/u1/n")

setfattr -n user.owner -v ads "$g"
setfattr -n user.description -v 'What, and "why"' "$g"
setfattr -n user.tier -v 0 "$g"
setfattr -n user.ttl -v 90d "$g"
setfattr -n user.tags -v 'a, b' "$g"
setfattr -n user.source -v 'warehouse.events' "$g"
for line in 'owner = ads' 'description = What, and "why"' 'tier = 0' 'ttl = 90d' 'source = warehouse.events'; do
	grep -qxF "$line" "$g/.schema" || fail "not in .schema: $line"
done
sed -i 's/owner = ads/owner = search/' "$g/.schema"
same "$(getfattr --only-values -n user.owner "$g")" search
for bad in 'tier 5' 'tier high' 'ttl soon' 'ttl -1d'; do
	expect_fail EINVAL setfattr -n "user.${bad% *}" -v "${bad#* }" "$g"
done
same "$(getfattr --only-values -n user.tier "$g")" 0
setfattr -x user.tier "$g"
expect_fail ENODATA getfattr -n user.tier "$g"
same "$(grep -c '^tier' "$g/.schema" || true)" 0
expect_fail ENODATA setfattr -x user.tier "$g"
ok known ones

gives ok setxattr "$g" user.oncall 'rep:x:300' any
gives ok setxattr "$g" user.raw hex:00ff0a any
same "$(getfattr -e hex --only-values -n user.raw "$g" | xxd -p)" 00ff0a
gives 'setxattr: EEXIST' setxattr "$g" user.oncall y create
gives 'setxattr: ENODATA' setxattr "$g" user.other y replace
gives ok setxattr "$g" user.other y create
gives ok setxattr "$g" user.other zz replace
gives 'setxattr: EEXIST' setxattr "$g" user.owner y create
gives 2 getxattr "$g" user.other 0
gives '2 zz' getxattr "$g" user.other 2
gives '2 zz' getxattr "$g" user.other 100
gives 'getxattr: ERANGE' getxattr "$g" user.other 1
gives 'getxattr: ENODATA' getxattr "$g" user.none 0
gives 300 getxattr "$g" user.oncall 0
names=$(fsop listxattr "$g" 4096)
for name in user.owner user.description user.ttl user.tags user.source user.oncall user.raw user.other; do
	matches " $names " " $name "
done
size=$(fsop listxattr "$g" 0)
same "$size" $((${#names} + 1))
gives "$names" listxattr "$g" "$size"
gives 'listxattr: ERANGE' listxattr "$g" $((size - 1))
same "$(getfattr -d "$g" | grep -c '^user\.')" "$(wc -w <<< "$names")"
gives ok removexattr "$g" user.other
gives 'removexattr: ENODATA' removexattr "$g" user.other
expect_fail ANY fsop setxattr "$MNT/.featurefs" user.a b any
expect_fail ANY setfattr -n trusted.a -v b "$g"
expect_fail ANY setfattr -n security.a -v b "$g"
gives ok setxattr "$g" user.full rep:x:65536 any
gives 65536 getxattr "$g" user.full 0
gives 'setxattr: E2BIG' setxattr "$g" user.full rep:x:65537 any
gives ok setxattr "$g" user.empty '' any
gives 0 getxattr "$g" user.empty 0
ok free ones

same "$(fsop times "$g/u1/n")" "$times" "no value was touched"
before=$(getfattr -d -e hex "$g" 2> /dev/null | sort)
remount
same "$(getfattr -d -e hex "$g" 2> /dev/null | sort)" "$before"
mv "$g" "$MNT/h"
same "$(getfattr --only-values -n user.owner "$MNT/h")" search
gives 300 getxattr "$MNT/h" user.oncall 0
ok kept over a remount and a rename
