#!/bin/bash
# SPDX-License-Identifier: MIT
# Stores come and go under a reader: the daemon is restarted, killed, its store restored from a backup, replaced by another one, mounted with a
# larger map. A read shows what is there now, and a map that awaits recovery is refused with the reason.
# claims: A4
. "$TESTS/lib.sh"

sdkop=$BIN/tests/helpers/sdkop
start_daemon -o store.map_size=16M
define g <<'END'
[feature n]
type = int64
[feature blob]
type = bytes
END
echo '{"entity": "e", "features": {"n": 1}}' > "$MNT/g/.upsert"

# One process that reads all the time: it prints each value when it changes, and errors by their words.
cat > "$DIR/follow.py" << 'END'
import ctypes, sys, time
lib = ctypes.CDLL(sys.argv[1])
lib.featurefs_error.restype = ctypes.c_char_p
class Column(ctypes.Structure):
    _fields_ = [("values", ctypes.c_void_p), ("room", ctypes.c_size_t), ("stride", ctypes.c_size_t), ("as_", ctypes.c_int),
                ("offsets", ctypes.c_void_p), ("validity", ctypes.c_void_p), ("status", ctypes.c_void_p), ("event_ns", ctypes.c_void_p),
                ("values_len", ctypes.c_size_t), ("n_present", ctypes.c_size_t)]
fs, view = ctypes.c_void_p(), ctypes.c_void_p()
if lib.featurefs_open(sys.argv[2].encode(), 0, ctypes.byref(fs)) < 0:
    sys.exit(lib.featurefs_error().decode())
names = (ctypes.c_char_p * 1)(b"g/n")
if lib.featurefs_view_new(fs, names, ctypes.c_size_t(1), ctypes.byref(view)) < 0:
    sys.exit(lib.featurefs_error().decode())
value = ctypes.c_int64()
column = Column(values=ctypes.cast(ctypes.byref(value), ctypes.c_void_p))
last = None
while True:
    rc = lib.featurefs_read_one(view, b"e", ctypes.byref(column))
    now = f"error {lib.featurefs_error().decode()}" if rc < 0 else str(value.value)
    if now != last:
        print(now, flush=True)
        last = now
END
[[ -z $SAN ]] || skip 'python would have to load the sanitizer first'
python3 "$DIR/follow.py" "$BIN/libfeaturefs.so" "$STORE" > "$DIR/seen" &
reader=$!
seen() {
	tail -n 1 "$DIR/seen" | grep -qE "^$1\$"
}
eventually 10 seen 1
echo 2 > "$MNT/g/e/n"
eventually 10 seen 2
remount
echo 3 > "$MNT/g/e/n"
eventually 10 seen 3
recrash
echo 4 > "$MNT/g/e/n"
eventually 10 seen 4
ok 'restarted and killed daemons'

stop_daemon
start_daemon -o store.map_size=256M
for i in {1..40}; do
	head -c 1000000 /dev/zero > "$MNT/g/e/blob"
	cp "$MNT/g/e/blob" "$MNT/g/e/.x" 2> /dev/null || true
	mkdir -p "$MNT/g/e$i"
	head -c 900000 /dev/zero > "$MNT/g/e$i/blob"
done
echo 5 > "$MNT/g/e/n"
eventually 10 seen 5
ok 'a map that outgrew what was mapped'

featurectl backup -q "$DIR/backup" -s "$STORE"
echo 6 > "$MNT/g/e/n"
eventually 10 seen 6
stop_daemon
mv "$STORE" "$DIR/old"
eventually 10 seen 'error.*data\.mdb.*'
featurectl restore -q "$DIR/backup" "$STORE" > /dev/null
eventually 10 seen 5
start_daemon
echo 7 > "$MNT/g/e/n"
eventually 10 seen 7
ok 'a restore'

# Killed in another boot: the map awaits recovery.
stop_daemon
FEATUREFS_TEST_BOOT_ID=another start_daemon
crash_daemon
clear_mount
eventually 10 seen 'error.*awaits recovery.*'
said=$("$sdkop" where "$STORE" 2>&1) && fail 'a map that awaits recovery was opened'
matches "$said" 'awaits recovery: start the daemon'
kill -0 "$reader"
start_daemon
echo 8 > "$MNT/g/e/n"
eventually 10 seen 8
kill "$reader"
wait "$reader" || true
ok 'recovery'
