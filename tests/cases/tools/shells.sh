#!/bin/bash
# SPDX-License-Identifier: MIT
# What shells do with files: redirections, kept descriptors, groups of commands, background children, in bash and dash. A value takes
# effect at the close of the process that opened the file, whole, and never by the close of a child.
# claims: W1 W2 W3 W5 W9 T2
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
END
e=$MNT/g/u1
mkdir "$e"
export e MNT
printf '{"entity": "a", "features": {"n": 1}}\n' > "$DIR/row1"
printf '{"entity": "b", "features": {"n": 2}}\n' > "$DIR/row2"
export DIR

cat > "$DIR/story" <<'END'
set -e
is() { [ "$1" = "$2" ] || { echo "line $3: got '$1', wanted '$2'" >&2; exit 1; }; }
echo 1 > "$e/n"; is "$(cat "$e/n")" 1 echo
printf 2 > "$e/n"; is "$(cat "$e/n")" 2 printf
cat > "$e/n" <<HERE
3
HERE
is "$(cat "$e/n")" 3 cat
echo 4 | tee "$e/n" > /dev/null; is "$(cat "$e/n")" 4 tee
echo one > "$e/s"; echo two >> "$e/s"; is "$(cat "$e/s")" "one
two" append
: > "$e/n"; is "$(wc -c < "$e/n")" 0 colon
echo 5 >| "$e/n"; is "$(cat "$e/n")" 5 clobber
{ printf 1; printf 2; /bin/echo 3; } > "$e/n"; is "$(cat "$e/n")" 123 group
( printf 4; /bin/echo 5 ) > "$e/n"; is "$(cat "$e/n")" 45 subshell
{ cat "$DIR/row1"; sleep 0.1; cat "$DIR/row2"; } > "$MNT/g/.upsert"
is "$(cat "$MNT/g/a/n" "$MNT/g/b/n")" "1
2" upsert
rm -f "$DIR/go"
{ until [ -e "$DIR/go" ]; do sleep 0.05; done; echo 6; } > "$e/n" & is "$(cat "$e/n")" 45 "before the background child is done"
: > "$DIR/go"; wait; is "$(cat "$e/n")" 6 background
exec 3> "$e/s"; echo part >&3; /bin/echo more >&3; exec 3>&-; is "$(cat "$e/s")" "part
more" exec
exec 4>> "$e/s"; echo tail >&4; exec 4>&-; is "$(tail -n 1 "$e/s")" tail "exec append"
exec 5<> "$e/n"; exec 5>&-; is "$(cat "$e/n")" 6 "opened read-write, nothing written"
i=0; while [ $i -lt 50 ]; do i=$((i + 1)); echo $i > "$e/n"; is "$(cat "$e/n")" $i loop; done
seq 1 20 | while read -r x; do echo "$x" > "$e/n"; done; is "$(cat "$e/n")" 20 "while read"
read -r x < "$e/n"; is "$x" 20 read
[ -e "$e/n" ] && [ -s "$e/n" ] && [ -f "$e/n" ] && [ -r "$e/n" ] && [ -w "$e/n" ]
[ ! -e "$e/none" ]
END
for shell in bash dash; do
	need "$shell"
	"$shell" "$DIR/story" || fail "$shell"
	ok "$shell"
done

# The opener ends first: what its child writes then takes effect at the last close.
echo 1 > "$e/n"
fsop orphan "$e/n" $'77\n'
eventually 5 grep -qx 77 "$e/n"
# A child's close publishes nothing.
exec 7> "$e/s"
printf 'half' >&7 &
wait $!
same "$(cat "$e/s")" $'part\nmore\ntail' "before the opener's close"
exec 7>&-
same "$(cat "$e/s")" half
# Opened and truncated, nothing written yet: readers still see what stood.
exec 7> "$e/s"
same "$(cat "$e/s")" half
exec 7>&-
same "$(stat -c %s "$e/s")" 0
ok descriptors that outlive their opener
