#!/bin/bash
# SPDX-License-Identifier: MIT
# cp, cp -p, cp -r, mv into the mount, out of it and inside of it, install, dd: values arrive, times go with them where the tool carries
# them, and a source whose value is refused stays where it is.
# claims: W9 W10 T3 T4 T5 M1 V13
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
[feature m]
type = int64
[feature raw]
type = bytes
END
e=$MNT/g/u1
mkdir "$e"
cd "$DIR"
echo 5 > five
touch -d '2026-01-02 03:04:05.123456789Z' five
head -c 300000 /dev/urandom > big

cp five "$e/n"
same "$(cat "$e/n")" 5
same "$(($(date +%s) - $(seconds_of "$e/n") < 60))" 1 "cp is true now"
expect_fail ESTALE cp -p five "$e/n"
same "$(cat five)" 5
rm "$e/n"
cp -p five "$e/m"
same "$(stat -c %y "$e/m")" '2026-01-02 03:04:05.123456789 +0000'
cp "$e/m" out
same_file out five
cp -p "$e/m" out
same "$(stat -c %y out)" '2026-01-02 03:04:05.123456789 +0000'
cp big "$e/raw"
same_file big "$e/raw"
cp -a "$e/raw" out
same_file big out
ok cp

mkdir tree tree/u7 tree/u8
echo 7 > tree/u7/n
echo 8 > tree/u8/n
cp -r tree/. "$MNT/g"
same "$(cat "$MNT/g/u7/n" "$MNT/g/u8/n" | xargs)" '7 8'
cp -a tree/u7 "$MNT/g/u9"
same "$(cat "$MNT/g/u9/n")" 7
cp -r "$MNT/g" copy
same "$(cd copy && find . -type f | sort | xargs)" './u1/m ./u1/raw ./u7/n ./u8/n ./u9/n'
cp -a "$MNT/g/u7" copy2
same "$(cat copy2/n)" 7
ok cp -r

# mv from another file system removes the target and then copies: an older file replaces too, stamped just after the removal.
echo 9 > "$e/n"
before=$(fsop times "$e/n")
cp -p five six
mv six "$e/n"
same "$(cat "$e/n")" 5
absent six
same "$(($(fsop times "$e/n" | cut -d' ' -f1) > ${before% *}))" 1
echo bad > bad
expect_fail EINVAL mv bad "$e/m"
same "$(cat bad)" bad "a refused source stays"
mv "$e/raw" back
same_file back big
absent "$e/raw"
mv "$e/n" "$e/m"
same "$(cat "$e/m")" 5
absent "$e/n"
cp -p --preserve=timestamps five "$e/n"
touch -d '2026-01-01Z' "$e/n"
touch -d '2026-02-01Z' "$e/m"
expect_fail ESTALE mv "$e/n" "$e/m"
same "$(cat "$e/n" "$e/m" | xargs)" '5 5' "a stale rename touches neither"
touch -d '2026-03-01Z' "$e/n"
mv "$e/n" "$e/m"
same "$(stat -c %y "$e/m")" '2026-03-01 00:00:00.000000000 +0000'
echo 3 > "$e/n"
mv -n "$e/n" "$e/m" || true
same "$(cat "$e/n" "$e/m" | xargs)" '3 5' 'mv -n'
ok mv

dd if=big of="$e/raw" bs=1000 2> /dev/null
same_file big "$e/raw"
printf '12345\n' | dd of="$e/n" bs=1 2> /dev/null
same "$(cat "$e/n")" 12345
printf 9 | dd of="$e/n" conv=notrunc 2> /dev/null
same "$(cat "$e/n")" 92345
printf XY | dd of="$e/raw" bs=1 seek=100 conv=notrunc 2> /dev/null
printf XY | dd of=big bs=1 seek=100 conv=notrunc 2> /dev/null
same_file big "$e/raw"
dd if="$e/raw" of=out bs=777 2> /dev/null
same_file out big
dd if="$e/raw" bs=1 skip=100 count=2 2> /dev/null | grep -qx XY
install -m 600 five "$e/m"
same "$(cat "$e/m")" 5
chmod 600 "$e/m"
chown 1:1 "$e/m"
chgrp 1 "$e"
same "$(stat -c %u "$e/m")" 0 "accepted and ignored"
ok dd and install
