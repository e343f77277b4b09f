#!/bin/bash
# SPDX-License-Identifier: MIT
# A group of 20,000 entities: ls, find and glob see each once; a handle can be put back to any place in it; entries can be removed while they
# are listed.
# claims: L1 L2 N5 W7
# limit: 120
# slow
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
END
cd "$MNT/g"
seq 20000 | awk '{ printf "{\"entity\": \"e%05d\", \"features\": {\"n\": %d}}\n", $1, $1 }' > "$DIR/rows"
cat "$DIR/rows" > .upsert
same "$(ls | wc -l)" 20000
same "$(ls -f | wc -l)" 20002 "with . and .."
same "$(ls | sort -u | wc -l)" 20000
same "$(find . -name n | wc -l)" 20000
same "$(ls -U | head -n 3 | wc -l)" 3
same "$(set -- *; echo $#)" 20000
same "$(cat e12345/n e20000/n | xargs)" '12345 20000'
same "$(find . -mindepth 1 -maxdepth 1 -type d -name 'e1999?' | sort | xargs -n 1 basename | xargs)" \
	'e19990 e19991 e19992 e19993 e19994 e19995 e19996 e19997 e19998 e19999'
gives 'ok 20000' seekdir .
ok listed, and seeked within one handle

# Entries that were there from the first to the last call are listed once, whatever comes and goes beside them.
(for i in $(seq 300); do mkdir "f$i"; rmdir "f$i"; mkdir "a$i"; done) &
for i in 1 2 3; do
	same "$(ls -U | grep -c '^e')" 20000
	same "$(ls -U | sort | uniq -d)" ''
done
wait $!
rmdir a*
mkdir late
same "$(ls | grep -c '^late$')" 1 "at once in the next listing"
rmdir late
same "$(ls | grep -c '^late$' || true)" 0
ok beside changes

seq 18001 20000 | awk '{ printf "{\"entity\": \"e%05d\", \"delete\": true}\n", $1 }' > "$DIR/gone"
cat "$DIR/gone" > .upsert
same "$(ls | wc -l)" 18000
seq 2001 18000 | awk '{ printf "{\"entity\": \"e%05d\", \"delete\": true}\n", $1 }' > "$DIR/gone"
cat "$DIR/gone" > .upsert
gives 'ok 2000' sweep .
same "$(ls | wc -l)" 0
cat "$DIR/rows" > .upsert
same "$(ls | wc -l)" 20000
cd /
ok removed while listed
