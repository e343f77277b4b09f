#!/bin/bash
# SPDX-License-Identifier: MIT
# The Go package is vetted, and its tests and examples run with the race detector, on a real mount.
# limit: 300
# slow
. "$TESTS/lib.sh"

[[ -z $SAN ]] || skip 'Go brings its own race detector'
need go
mkdir "$DIR/pc"
cat > "$DIR/pc/featurefs.pc" <<END
Name: featurefs
Description: the built tree's library
Version: 0
Libs: -L$BIN -lfeaturefs -Wl,-rpath,$BIN
Cflags: -I$(realpath "$TESTS/../include")
END
start_daemon
define user_stats <<'END'
[group]
entity = user_id
[feature clicks_7d]
type = int64
[feature plan]
type = string
[feature vec]
type = float32[2]
[feature seen]
type = timestamp
END
export PKG_CONFIG_PATH=$DIR/pc FEATUREFS_MOUNT=$MNT GOFLAGS=-count=1
export GOCACHE=${GOCACHE:-$(realpath "$BIN/..")/go-cache} HOME=${HOME:-$DIR}
cd "$TESTS/../src/sdk/go"
same "$(gofmt -l . 2>&1)" ''
go vet ./...
go test -race ./...
ok go
