#!/bin/bash
# SPDX-License-Identifier: MIT
# Options: unknown ones are named and end with 2; file and command line; ro, uid=, gid=, umask=; the printed sample is the one in etc.
# claims: D5 D7 D8 D9
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

refuse_daemon 2 'colour' -o colour=red
refuse_daemon 2 'store\.map_sise.*store\.map_size' -o store.map_sise=1G
refuse_daemon 2 'map_size' -o store.map_size=1K
refuse_daemon 2 'map_size' -o store.map_size=much
refuse_daemon 2 'durability' -o store.durability=maybe
refuse_daemon 2 'umask' -o umask=9
refuse_daemon 2 '\-q' -q
refuse_daemon 2 'nonsense' --nonsense
printf '[store]\nmap_size = 1G\n[colours]\n' > "$DIR/bad.conf"
refuse_daemon 2 'bad\.conf:3.*colours' -c "$DIR/bad.conf"
printf '[ingest]\nsweep_intervall = 1s\n' > "$DIR/bad.conf"
refuse_daemon 2 'bad\.conf:2.*sweep_interval' -c "$DIR/bad.conf"
rc=0
featurefs "$STORE" > /dev/null 2>&1 || rc=$?
same $rc 2
rc=0
said=$(featurefs "$STORE" "$MNT" -c "$DIR/none.conf" -f 2>&1) || rc=$?
matches "$rc $said" '^[12] .*none\.conf'
same "$(featurefs --help | grep -c 'store.map_size')" 1
matches "$(featurefs --version)" '[0-9]+\.[0-9]+'
featurefs --print-conf > "$DIR/sample"
same_file "$DIR/sample" "$TESTS/../etc/featurefs.conf"
absent "$STORE"
ok refused

printf '[store]\nmap_size = 256M\n[ingest]\nfuture = 1h\n' > "$DIR/ours.conf"
start_daemon -c "$DIR/ours.conf" -o ingest.future=2h -o noatime,nosuid
matches "$(cat "$MNT/.featurefs/config")" 'map_size = 256M'
matches "$(cat "$MNT/.featurefs/config")" 'future = 2h'
matches "$(grep " $MNT " /proc/self/mountinfo)" 'fuse\.featurefs'
matches "$(grep " $MNT " /proc/self/mountinfo)" "$STORE"
define g <<'END'
[feature n]
type = int64
END
mkdir "$MNT/g/u1"
echo 1 > "$MNT/g/u1/n"
read -r size used avail <<< "$(df -B1 --output=size,used,avail "$MNT" | tail -n 1)"
same "$((size > 0 && size <= 256 << 20 && used > 0 && used + avail <= size + 4096 && avail > 0))" 1 "df: $size $used $avail"
same "$(df --output=source "$MNT" | tail -n 1)" "$STORE"
stat -f "$MNT" | grep -q 'Namelen: 255'
before=$used
for i in $(seq 40); do
	printf '{"entity": "e%d", "features": {"n": %d}}\n' "$i" "$i"
done > "$MNT/g/.upsert"
sync -f "$MNT" 2> /dev/null || true
same "$(($(df -B1 --output=used "$MNT" | tail -n 1) >= before))" 1
read -r iused ifree <<< "$(df --output=iused,iavail "$MNT" | tail -n 1)"
same "$iused" 42 'df -i: a group and its 41 entities'
same "$((ifree > 100000))" 1 "df -i: room for $ifree more"
stop_daemon
ok file and command line

start_daemon -o ro
same "$(cat "$MNT/g/u1/n")" 1
for command in 'echo 2 > $MNT/g/u1/n' 'mkdir $MNT/g/u2' 'mkdir $MNT/h' 'rm $MNT/g/u1/n' 'mv $MNT/g $MNT/h' 'touch $MNT/g/u1/n' \
	'chmod 700 $MNT/g' 'setfattr -n user.tier -v 1 $MNT/g' 'echo x > $MNT/g/.schema' 'echo x > $MNT/g/.upsert' 'echo x > $MNT/g/u1/.row' \
	'truncate -s 0 $MNT/g/u1/n' 'echo x > $MNT/g/u1/.scratch'; do
	expect_fail EROFS bash -c "$command"
done
same "$(cat "$MNT/g/u1/n")" 1
stop_daemon
start_daemon -o uid=1234,gid=4321,umask=077,allow_other
same "$(stat -c '%u %g %a' "$MNT/g" "$MNT/g/u1/n" | xargs)" '1234 4321 700 1234 4321 600'
stop_daemon
start_daemon
same "$(stat -c '%u %g %a' "$MNT/g" | xargs)" '0 0 755' "only shown, not kept"
ok ro, uid, gid, umask
