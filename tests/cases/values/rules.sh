#!/bin/bash
# SPDX-License-Identifier: MIT
# min, max, enum, max_length and not_null refuse on each way in, and .errors says why.
# claims: V12 V13
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature age]
type = int32
min = 0
max = 150
[feature rate]
type = float64
min = 0
max = 1
[feature level]
type = string
enum = low, mid, high
[feature stars]
type = int64
enum = 1, 2, 3
[feature note]
type = string
max_length = 8
[feature blob]
type = bytes
max_length = 4
[feature tags]
type = string[]
max_length = 2
[feature probs]
type = float32[]
min = 0
max = 1
[feature id]
type = int64
not_null = yes
END
e=$MNT/g/u1
mkdir "$e"

takes "$e/age" 0 0
takes "$e/age" 150 150
refuses ERANGE "$e/age" $'151\n'
last_error g 'direct uid 0 u1/age out_of_range \(errno 34\) "151(\\n)?": .*max = 150'
refuses ERANGE "$e/age" $'-1\n'
takes "$e/rate" 1 1
refuses ERANGE "$e/rate" $'1.0000001\n'
takes "$e/level" mid mid
refuses EINVAL "$e/level" $'MID\n'
last_error g 'u1/level .*MID.*enum'
refuses EINVAL "$e/level" $'\n'
takes "$e/stars" 3 3
refuses EINVAL "$e/stars" $'4\n'
takes "$e/note" 12345678 12345678
refuses EINVAL "$e/note" $'123456789\n'
gives ok put "$e/blob" hex:00ff00ff
refuses EINVAL "$e/blob" hex:0011223344
takes "$e/tags" '["a","b"]' '["a","b"]'
refuses EINVAL "$e/tags" $'["a","b","c"]\n'
takes "$e/probs" '[0,1]' '[0,1]'
refuses ERANGE "$e/probs" $'[0,1.5]\n'
takes "$e/id" 7 7
# Nothing written takes effect at the last close, whose error nobody is told: .errors has it.
: > "$e/id"
same "$(cat "$e/id")" 7
last_error g 'u1/id .*not_null'
: > "$e/id.bin"
same "$(cat "$e/id")" 7
gives 'truncate: EINVAL' truncate "$e/id" 0
ok refused as files

refuses ERANGE "$e/.row" '{"features": {"age": 200}}'
refuses EINVAL "$e/.row" '{"features": {"id": null}}'
refuses EINVAL "$MNT/g/.upsert" '{"entity": "u1", "features": {"level": "no"}}'
same "$(jq -c .features "$e/.row")" \
	'{"age":150,"rate":1,"level":"mid","stars":3,"note":"12345678","blob":"AP8A/w==","tags":["a","b"],"probs":[0,1],"id":7}'
rm "$e/id"
absent "$e/id"
ok refused in rows, and a deletion is not a null
