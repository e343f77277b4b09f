#!/bin/bash
# SPDX-License-Identifier: MIT
# Renaming features, entities and groups; removing them and making them again; flags of renameat2.
# claims: M1 M2 M3 M4 C1 W8 C12
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
[feature m]
type = int64
max = 100
[feature s]
type = string
END
define other < "$MNT/g/.schema"
cd "$MNT/g"
mkdir u1 u2 u3
echo 5 > u1/n
echo text > u1/s
touch -d '2026-02-03 04:05:06.789Z' u1/n
stamp=$(fsop times u1/n | cut -d' ' -f1)

mv u1/n u1/m
same "$(cat u1/m)" 5
absent u1/n
same "$(fsop times u1/m | cut -d' ' -f1)" "$stamp" "its event time goes with it"
mv u1/m u2/n
same "$(cat u2/n)" 5
mkdir ../other/x
mv u2/n ../other/x/n
same "$(cat ../other/x/n)" 5
mv ../other/x/n u1/n
gives 'rename: EINVAL' rename u1/s u1/m
same "$(cat u1/s)" text
mv u1/n u1/s2 2> /dev/null && fail "an undeclared name was taken"
gives 'rename: EPERM' rename u1/n u1/zzz
echo 500 > u2/n
gives 'rename: ERANGE' rename u2/n u2/m
same "$(cat u2/n)" 500
touch -d '2026-02-03Z' u1/n
gives 'rename: ESTALE' rename u1/n u1/s
touch u1/n
mv u1/n u1/s
same "$(cat u1/s)" 5 "its text is a value there"
gives 'rename: ENOENT' rename u1/n u1/m
ok features

echo 1 > u1/n
mv u1 u9
absent u1
same "$(cat u9/n u9/s | xargs)" '1 5'
same "$(jq -r .entity u9/.row)" u9
mkdir empty
mv -T u9 empty
same "$(cat empty/n)" 1
gives 'rename: ENOTEMPTY' rename empty u2
same "$(cat empty/n u2/n | xargs)" '1 500'
gives 'rename: EXDEV' rename empty ../other/y
mv empty ../other/y
same "$(cat ../other/y/n)" 1 "mv copies where rename can't"
absent empty
gives 'rename: EINVAL' rename u2 'b%2fd'
expect_fail ANY fsop rename u2 "$MNT/newgroup"
expect_fail ANY fsop rename "$MNT/other" u3/x
expect_fail ANY fsop rename u2 u3/n
same "$(ls | sort | xargs)" 'u2 u3'
ok entities

cd "$MNT"
times=$(fsop times g/u2/n)
setfattr -n user.tier -v 2 g
mv g renamed
absent g
same "$(cat renamed/u2/n)" 500
same "$(fsop times renamed/u2/n)" "$times"
same "$(getfattr --only-values -n user.tier renamed)" 2
gives 'rename: ENOTEMPTY' rename renamed other
gives 'rename: EINVAL' rename renamed 'no good'
mkdir blank
gives 'rename: EEXIST' noreplace renamed blank
gives ok rename renamed blank
same "$(cat blank/u2/n)" 500
gives ok noreplace blank g
gives 'rename: EINVAL' exchange g other
gives 'rename: EINVAL' exchange g/u2 g/u3
echo 1 > g/u2/s
gives 'rename: EINVAL' exchange g/u2/n g/u2/s
gives 'rename: EEXIST' noreplace g/u2/n g/u2/s
gives 'rename: EEXIST' noreplace g/u2 g/u3
gives 'rename: ERANGE' noreplace g/u2/n g/u2/m
cd /
remount
cd "$MNT"
same "$(ls | xargs)" 'g other'
ok groups

gives 'rmdir: ENOTEMPTY' rmdir g
gives 'rmdir: ENOTEMPTY' rmdir g/u2
gives 'unlink: EISDIR' unlink g
gives ok rmdir g/u3
gives 'rmdir: ENOENT' rmdir g/u3
cp g/.schema "$DIR/schema"
rm -r g
absent g g/.schema
mkdir g
same "$(grep -c feature g/.schema || true)" 0 "a new group of that name has nothing of the old one"
cp "$DIR/schema" g/.schema
mkdir g/u2
same "$(ls g/u2)" ''
echo 3 > g/u2/n
same "$(cat g/u2/n)" 3
rm -r other
rm -r g
same "$(ls)" ''
expect_fail ANY rmdir "$MNT"
cd /
remount
same "$(ls "$MNT")" ''
ok removed and made again
