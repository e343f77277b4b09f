#!/bin/bash
# SPDX-License-Identifier: MIT
# Names of groups and features, what can't be made at all, and where nothing can be made.
# claims: N1 N7 N8 N5 C1 C6
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
cd "$MNT"
long=$(head -c 128 /dev/zero | tr '\0' g)
mkdir a _x A-1 "$long" userStats
same "$(ls | sort | xargs)" "$(printf '%s\n' A-1 _x a "$long" userStats | sort | xargs)"
for name in 1a -x 'a b' 'ä' a.b 'a@v2' 'a,b' 'a%2Fb'; do
	gives 'mkdir: EINVAL' mkdir "$name"
	gives 'stat: ENOENT' stat "$name"
done
expect_fail ENAMETOOLONG mkdir "${long}g"
gives 'mkdir: EEXIST' mkdir a
gives 'stat: ENOENT' stat userstats
expect_fail ANY mkdir .hidden .featurefs2
expect_fail ANY mkdir .featurefs/x
gives 'open: EPERM' put file x
gives 'mkdir: EEXIST' mkdir .featurefs
ok groups

define a <<END
[feature $long]
type = int64
[feature _x]
type = int64
[feature n-1]
type = int64
[feature X]
type = int64
[feature x]
type = int64
[feature x@v12]
type = int64
[feature bin]
type = bytes
END
mkdir a/u1
cd a/u1
for name in "$long" _x n-1 X x x@v12 bin; do
	echo 1 > "$name"
	same "$(cat "$name")" 1
done
same "$(cat bin.bin)" 1
same "$(ls | wc -l)" 7
for name in y x@v1 x@v2 x@v x@v012 "$long.bin.bin" 'a b' 'x.txt'; do
	gives 'open: EPERM' put "$name" 1
	absent "$name"
done
gives 'open: ENAMETOOLONG' put "$(head -c 256 /dev/zero | tr '\0' n)" 1
gives 'mkdir: EPERM' mkdir x2
gives 'mkdir: EEXIST' mkdir x
expect_fail ANY bash -c 'echo 1 > x/y'
gives 'open: EPERM' put ../file x
for bad in '[feature a.b]' '[feature 1a]' '[feature ]' "[feature ${long}n]" '[feature x@v1]' '[feature x@v1x]'; do
	(cat ../.schema; printf '%s\ntype = int64\n' "$bad") > "$DIR/bad"
	expect_fail EINVAL cp "$DIR/bad" ../.schema
done
ok features

gives 'link: ENOTSUP' link x hard
gives 'link: ENOTSUP' link x y
gives 'symlink: ENOTSUP' symlink x soft
gives 'symlink: ENOTSUP' symlink x y
gives 'mkfifo: ENOTSUP' fifo y
gives 'mknod: ENOTSUP' device y
gives 'bind: ENOTSUP' socket y
gives 'symlink: ENOTSUP' symlink x ../e2
gives 'symlink: ENOTSUP' symlink x ../../g2
gives 'mknod: ENOTSUP' device ../../g2
gives 'rmdir: ENOTDIR' rmdir x
gives 'unlink: EISDIR' unlink ../../a/u1
same "$(ls | wc -l)" 7
ok what the file system is not for

cd ..
same "$(ls -A | xargs)" u1
for name in .schema .stats .errors .upsert; do
	stat "$name" > /dev/null
	expect_fail ANY rm "$name"
	expect_fail ANY mv "$name" u1/x
	expect_fail ANY mkdir "$name"
done
same "$(ls -A u1 | grep -c '^\.' || true)" 0
stat u1/.row > /dev/null
absent u1/.schema
same "$(find . -name '.*' -mindepth 1 | wc -l)" 0
same "$(ls "$MNT" | grep -c '^\.' || true)" 0
stat "$MNT/.featurefs" > /dev/null
cd /
ok "the store's own names"
