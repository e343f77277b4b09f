#!/bin/bash
# SPDX-License-Identifier: MIT
# Timestamps: many ways in, one way out, to the microsecond.
# claims: V6
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature t]
type = timestamp
[feature list]
type = timestamp[]
END
e=$MNT/g/u1
mkdir "$e"

takes "$e/t" 2026-11-23T04:00:00Z 2026-11-23T04:00:00Z
takes "$e/t" 2026-11-23T05:00:00+01:00 2026-11-23T04:00:00Z
takes "$e/t" 2026-11-23T04:00:00.5Z 2026-11-23T04:00:00.500000Z
takes "$e/t" 2026-11-23T04:00:00.123456789Z 2026-11-23T04:00:00.123456Z
takes "$e/t" 0 1970-01-01T00:00:00Z
takes "$e/t" 1790000000 2026-09-21T14:13:20Z
takes "$e/t" 1.5 1970-01-01T00:00:01.500000Z
takes "$e/t" -1 1969-12-31T23:59:59Z
takes "$e/t" 2024-02-29T23:59:59.999999Z 2024-02-29T23:59:59.999999Z
for bad in yesterday 2026-02-30T00:00:00Z 2023-02-29T00:00:00Z 2026-11-23 2026-11-23T25:00:00Z 2026-11-23T04:00:00 2026-13-01T00:00:00Z; do
	refuses EINVAL "$e/t" "$bad"$'\n'
done
same "$(cat "$e/t")" 2024-02-29T23:59:59.999999Z

same "$(od -An -td8 "$e/t.bin" | tr -d ' ')" 1709251199999999 "microseconds since 1970"
/usr/bin/python3 -c 'import struct,sys; sys.stdout.buffer.write(struct.pack("<q", -1))' > "$e/t.bin"
same "$(cat "$e/t")" 1969-12-31T23:59:59.999999Z
takes "$e/list" '["2026-11-23T04:00:00Z", "2026-11-23T05:30:00.25+01:00"]' '["2026-11-23T04:00:00Z","2026-11-23T04:30:00.250000Z"]'
gives ok put "$e/.row" '{"features": {"t": "2026-01-02T03:04:05Z"}}'
same "$(cat "$e/t")" 2026-01-02T03:04:05Z
gives ok put "$e/.row" '{"features": {"t": 1.25}}'
same "$(jq -r .features.t "$e/.row")" 1970-01-01T00:00:01.250000Z
ok timestamps in all forms
