#!/bin/bash
# SPDX-License-Identifier: MIT
# The program in libfeaturefs(3) is compiled against an installed tree, by pkg-config, with the shared library and with the static one, and
# does what the page says. The library shows the names of its header, each with a version, and none besides.
. "$TESTS/lib.sh"

[[ -z $SAN ]] || skip 'a program without sanitizers is linked'
root=$TESTS/..
page=$root/etc/man/libfeaturefs.3
sed -n '/^\.EX$/,/^\.EE$/p' "$page" | sed '1d; $d; s/\\-/-/g; s/\\e/\\/g' > "$DIR/example.c"
lib=$DIR/usr/lib
mkdir -p "$DIR"/usr/{include,lib/pkgconfig}
cp "$root/include/featurefs.h" "$DIR/usr/include"
cp -a "$BIN"/libfeaturefs.{so,so.0,a} "$lib"
sed "s,^prefix=.*,prefix=$DIR/usr," "$BIN/featurefs.pc" > "$lib/pkgconfig/featurefs.pc"
export PKG_CONFIG_PATH=$lib/pkgconfig
read -ra shared <<< "$(pkg-config --cflags --libs featurefs)"
read -ra static <<< "$(pkg-config --cflags featurefs) $lib/libfeaturefs.a $(pkg-config --static --libs featurefs | sed 's/-lfeaturefs//')"
cc -Wall -Wextra -Werror -o "$DIR/shared" "$DIR/example.c" "${shared[@]}" -Wl,-rpath,"$lib"
cc -Wall -Wextra -Werror -o "$DIR/static" "$DIR/example.c" "${static[@]}"
matches "$(ldd "$DIR/shared")" 'libfeaturefs\.so\.0 => /'
[[ $(ldd "$DIR/static") != *libfeaturefs* ]] || fail 'the static program needs the shared library'

grep -o 'featurefs_[a-z_]*(' "$root/include/featurefs.h" | tr -d '(' | sort -u > "$DIR/declared"
nm -D --defined-only "$lib/libfeaturefs.so" | awk '$2 == "T" { print $3 }' | sort > "$DIR/shown"
same "$(grep -vc '@@FEATUREFS_' "$DIR/shown" || true)" 0 'names without a version'
sed 's/@.*//' "$DIR/shown" > "$DIR/names"
same_file "$DIR/declared" "$DIR/names"
nm --defined-only -g "$lib/libfeaturefs.a" | awk 'NF == 3 { print $3 }' | sort > "$DIR/names"
same_file "$DIR/declared" "$DIR/names"
ok 'names'

start_daemon
define user_stats <<'END'
[group]
entity = user_id
[feature clicks_7d]
type = int64
[feature ctr]
type = float64
END
echo '{"entity": "u1", "features": {"clicks_7d": 3, "ctr": 0.5}}' > "$MNT/user_stats/.upsert"
same "$("$DIR/shared" "$MNT" u1 u2)" 'u1: clicks 3, ctr 0.5
u2: clicks unknown 0, ctr nan'
same "$("$DIR/static" "$STORE" u1)" 'u1: clicks 4, ctr 0.5'
same "$(cat "$MNT/user_stats/u1/clicks_7d")" 5
ok 'the example'
