#!/bin/bash
# SPDX-License-Identifier: MIT
# Names of entities: one written form and no other, any UTF-8, 255 bytes, composite keys; what is not of that form does not exist and can't be
# made.
# claims: N2 N3 N4 N1
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
END
define pair <<'END'
[group]
entity = user_id, doc_id
[feature n]
type = int64
END
cd "$MNT/g"

good=('42' 'a b' 'a%2Fb' '%2Ehidden' '%25' 'a%0Ab' '%7F' 'a.b..' 'ü' '世界' '🎉' 'User' 'user' "it's" '"q"' '-rf' '~x' 'x=1&y' 'a\b' 'a%2Cb' '*' '4913' 'sedAbC123' 'old~')
for name in "${good[@]}"; do
	mkdir -- "$name"
	echo 1 > "./$name/n"
	same "$(cat "./$name/n")" 1 "$name"
	same "$(jq -r .entity "./$name/.row")" "$name"
done
same "$(ls -1 --quoting-style=literal | sort)" "$(printf '%s\n' "${good[@]}" | sort)"
same "$(find . -mindepth 1 -maxdepth 1 | wc -l)" ${#good[@]}
ok good names

bad=('a%2fb' 'a%41' '%' 'a%2' 'x%zz' '%00' 'a%2E' '%2Fa%2f' 'a,b' ',' 'a%20b' $'a\nb' $'tab\tx' $'\x7f')
for name in "${bad[@]}"; do
	gives 'mkdir: EINVAL' mkdir "$name"
	gives 'stat: ENOENT' stat "$name"
	gives 'open: ENOENT' read "$name/n"
done
gives 'mkdir: EILSEQ' mkdir 'a%xff'
gives 'stat: ENOENT' stat 'a%xff'
gives 'mkdir: EILSEQ' mkdir '%xed%xa0%x80'
last_error g 'bad_name|encoding'
expect_fail ANY mkdir .hidden
gives 'rename: EINVAL' rename 42 'a%2fb'
same "$(cat 42/n)" 1
ok other spellings

long=$(head -c 255 /dev/zero | tr '\0' x)
mkdir "$long"
echo 2 > "$long/n"
same "$(cat "$long/n")" 2
same "$(ls | grep -c "^$long$")" 1
expect_fail ENAMETOOLONG mkdir "${long}y"
expect_fail ENAMETOOLONG stat "${long}y"
wide=$(printf '世%.0s' $(seq 85))
mkdir "$wide"
rmdir "$wide"
expect_fail ENAMETOOLONG mkdir "${wide}x"
gives ok put .upsert "{\"entity\": \"$long\", \"features\": {\"n\": 3}}"
same "$(cat "$long/n")" 3
refuses ENAMETOOLONG .upsert "{\"entity\": \"${long}z\", \"features\": {\"n\": 3}}"
ok length

cd "$MNT/pair"
mkdir 42,7 'a%2Cb,c'
echo 5 > 42,7/n
same "$(cat 42,7/n)" 5
for name in 42 1,2,3 ',7' '42,' ','; do
	gives 'mkdir: EINVAL' mkdir "$name"
	gives 'stat: ENOENT' stat "$name"
done
gives ok put .upsert '{"entity": "9,9", "features": {"n": 9}}'
refuses EINVAL .upsert '{"entity": "9", "features": {"n": 9}}'
same "$(ls | xargs)" '42,7 9,9 a%2Cb,c'
cd /
remount
same "$(ls "$MNT/pair" | xargs)" '42,7 9,9 a%2Cb,c'
ok composite keys
