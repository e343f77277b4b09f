#!/bin/bash
# SPDX-License-Identifier: MIT
# The Python module is installed by pip from the built tree, its examples are run, and it reads and writes what it says: values of all types,
# batches, Arrow, views, many threads, a fork.
# limit: 180
# slow
. "$TESTS/lib.sh"

[[ -z $SAN ]] || skip 'the interpreter is not built with sanitizers'
need pip3
root=$TESTS/..
python=/usr/bin/python3
# A copy, so that what pip leaves beside the sources is gone with this folder.
mkdir -p "$DIR/tree/src/sdk" "$DIR/tree/include"
cp -r "$root/src/sdk/python" "$DIR/tree/src/sdk/python"
cp "$root/include/featurefs.h" "$DIR/tree/include"
FEATUREFS_LIBRARY=$BIN/libfeaturefs.a "$python" -m pip -q --disable-pip-version-check wheel --no-build-isolation --no-deps \
	-w "$DIR/wheel" "$DIR/tree/src/sdk/python"
matches "$(basename "$DIR"/wheel/*.whl)" '^featurefs-.*-cp311-abi3-linux.*\.whl$'
"$python" -m zipfile -e "$DIR"/wheel/*.whl "$DIR/site"
export PYTHONPATH=$DIR/site
ok installed

start_daemon
define user_stats <<'END'
[group]
entity = user_id
[feature clicks_7d]
type = int64
[feature plan]
type = string
END
define all_types <<'END'
[feature b]
type = bool
[feature i]
type = int32
[feature l]
type = int64
[feature f]
type = float32
nan = yes
[feature d]
type = float64
[feature s]
type = string
[feature y]
type = bytes
[feature t]
type = timestamp
[feature j]
type = json
[feature vec]
type = float32[3]
[feature hist]
type = int32[]
[feature tags]
type = string[]
END
"$python" - "$MNT" <<'END'
import doctest, sys
import featurefs
tests = doctest.DocTestFinder().find(featurefs, extraglobs={"MOUNT": sys.argv[1]})
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
for test in sorted(tests, key=lambda test: test.lineno or 0):
    runner.run(test)
assert runner.failures == 0 and runner.tries >= 10, (runner.failures, runner.tries)
print("ok: %d examples" % runner.tries)
END
cat > "$DIR/use.py" <<'END'
import ctypes, datetime, math, os, sys, threading
import numpy as np
import featurefs
from featurefs import MISSING, NULL, PRESENT

mount, store_path = sys.argv[1:]
store = featurefs.Store(mount)
assert store.is_mapped and store.mount == mount
seen = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.timezone.utc)
row = dict(b=True, i=-5, l=1 << 60, f=0.5, d=0.1, s="\u00e4\n", y=b"\0\xff", t=seen, j={"a": [1, None]}, vec=[1.0, 2.0, -3.0], hist=[1, 2], tags=["x", ""])
version = store.put("all_types", "e1", row)
store.wait(version, 10)
assert store.version() >= version
store.put("all_types", "e2", dict.fromkeys(row))
store.put("all_types", ("a/b", ), {"f": math.nan, "hist": np.array([7], "i4"), "vec": np.array([1, 2, 3], "f4"), "t": np.datetime64("2020-01-01")})
view = store.view(["all_types/*"])
assert view.columns == tuple(row) and view.keys == ("entity",), (view.columns, view.keys)
assert view.get_one("e1") == row, view.get_one("e1")
assert view.get_one("e2") == dict.fromkeys(row)
assert view.get_one("nobody") == {}
other = view.get_one("a%2Fb")
assert math.isnan(other["f"]) and other["hist"] == [7] and other["t"].year == 2020 and set(other) == {"f", "hist", "vec", "t"}
for way in (store, featurefs.Store(mount, mount_only=True)):
    batch = way.view(["all_types/*"]).get(["e1", "e2", "nobody"], event_times=True)
    assert len(batch) == 3 and batch.keys() == tuple(row)
    for name, value in row.items():
        got = batch[name][0]
        if name == "t":
            got = got.astype(datetime.datetime).replace(tzinfo=datetime.timezone.utc)
        if name in ("vec", "hist"):
            got = got.tolist()
        assert got == value, (name, got)
        assert batch.status(name).tolist() == [PRESENT, NULL, MISSING], (name, batch.status(name))
        assert batch.valid(name).tolist() == [True, False, False]
    assert abs(batch.event_times("s")[0] - np.datetime64("now")) < np.timedelta64(1, "D") and np.isnat(batch.event_times("s")[2])
# More names than one conversation with the mount has room for.
wide = ["e1"] + ["x" * 200 + str(i) for i in range(25000)] + ["e1"]
assert featurefs.Store(mount, mount_only=True).view(["all_types/i", "all_types/s"]).get(wide).valid("i").nonzero()[0].tolist() == [0, 25001]
assert batch.to_dict()["i"] == [-5, None, None] and batch.to_dict()["t"] == [seen, None, None] and batch.to_dict()["hist"] == [[1, 2], None, None]
matrix = store.view(["all_types/i", "all_types/vec", "all_types/b"]).get(["e1", "nobody"]).to_matrix()
assert matrix.shape == (2, 5) and matrix[0].tolist() == [-5, 1, 2, -3, 1] and np.isnan(matrix[1]).all()
try:
    store.view(["all_types/s"]).get(["e1"]).to_matrix()
    raise SystemExit("a text in a matrix")
except TypeError:
    pass

numbers = list(range(5000))
for at in range(0, 5000, 1000):
    store.put_rows("user_stats", [{"entity": n, "features": {"clicks_7d": n, "plan": "p" * (n % 50)}} for n in numbers[at:at + 1000]])
many = store.view(["user_stats/clicks_7d", "user_stats/plan"])
for ids in (numbers, np.array(numbers), [str(n) for n in numbers], {"user_id": numbers}):
    batch = many.get(ids)
    assert (batch["clicks_7d"] == numbers).all() and batch["plan"][4999] == "p" * 49
assert list(store.entities("user_stats", prefix="499")) == sorted(["499"] + ["499%d" % i for i in range(10)])
assert sum(1 for _ in store.entities("user_stats")) >= 5000
assert sum(1 for _ in store.rows("user_stats", prefix="49")) == 111
assert store.stats("user_stats")["entities"] >= 5000 and "clicks_7d" in store.schema("user_stats")

for wrong, kind in ((lambda: store.put("user_stats", "u", {"clicks_7d": "x"}), featurefs.Refused),
                    (lambda: store.put("user_stats", "u", {"nothing": 1}), featurefs.Refused),
                    (lambda: store.view(["nothing/x"]), featurefs.NotFound), (lambda: store.row("user_stats", "nobody"), KeyError),
                    (lambda: store.view("nothing"), featurefs.NotFound), (lambda: featurefs.Store("/nonexistent"), FileNotFoundError)):
    try:
        wrong()
        raise SystemExit("no error")
    except kind as error:
        assert isinstance(error, featurefs.Error) and str(error), error
os.mkdir(mount + "/.views/rank")
with open(mount + "/.views/rank/.schema", "w") as schema:
    schema.write("[view]\n[columns]\nc = user_stats/clicks_7d\nv = all_types/vec\n[keys]\nall_types = user_id\n")
rank = store.view("rank")
assert rank.columns == ("c", "v") and rank.keys == ("user_id",) and rank.get_one("17") == {"c": 17}

arrow = many.get_arrow([1, 2, 9999], event_times=True, status=True)
schema, array = arrow.__arrow_c_array__()
assert "arrow_schema" in repr(schema) and "arrow_array" in repr(array) and "arrow_schema" in repr(arrow.__arrow_c_schema__())
# Taken twice, and each of them lives without the other and the batch: struct ArrowArray begins with its length.
length = ctypes.pythonapi.PyCapsule_GetPointer
length.restype, length.argtypes = ctypes.POINTER(ctypes.c_int64), [ctypes.py_object, ctypes.c_char_p]
again = arrow.__arrow_c_array__()[1]
del arrow, schema, array
assert length(again, b"arrow_array")[0] == 3 and length(again, b"arrow_array")[4] == 6, "three rows of two columns, each with its time and status"
del again

# Two values written together are equal in every batch, whatever thread reads.
pair = store.view(["user_stats/clicks_7d"])
stop, bad = threading.Event(), []
store.put_rows("user_stats", [{"entity": e, "features": {"clicks_7d": 0}} for e in ("p", "q")])
def read():
    try:
        while not stop.is_set():
            p, q = pair.get(["p", "q"])["clicks_7d"]
            if p != q:
                bad.append((p, q))
    except BaseException as error:
        bad.append(error)
threads = [threading.Thread(target=read) for _ in range(4)]
for t in threads: t.start()
for k in range(1, 100):
    store.put_rows("user_stats", [{"entity": e, "features": {"clicks_7d": k}} for e in ("p", "q")])
stop.set()
for t in threads: t.join()
assert not bad, bad[:3]

child = os.fork()
if child == 0:
    os._exit(0 if pair.get_one("p") == {"clicks_7d": 99} else 1)
assert os.waitpid(child, 0)[1] == 0
store.delete("user_stats", "p", ["clicks_7d"])
assert pair.get_one("p") == {}
store.delete("user_stats", "p")
try:
    store.row("user_stats", "p")
    raise SystemExit("deleted, and still there")
except featurefs.NotFound:
    pass
try:
    store.close()
    raise SystemExit("closed under its views")
except RuntimeError:
    pass
with featurefs.Store(store_path) as second:
    assert [group.name for group in second.groups()] == ["all_types", "user_stats"]
print("ok")
END
"$python" -X dev -W error::DeprecationWarning "$DIR/use.py" "$MNT" "$STORE"
ok used

# Whoever takes Arrow batches takes ours; these come with tools/setup bench.
arrow=$(realpath -m "${BUILD:-build}/third/feast/bin/python")
if [[ -x $arrow ]] && "$arrow" -c 'import pandas, polars, duckdb, pyarrow' 2> /dev/null; then
	"$arrow" - "$MNT" <<'END'
import datetime, sys
import duckdb, pandas, polars, pyarrow
import featurefs
store = featurefs.Store(sys.argv[1])
seen = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
store.put("all_types", "x", {"l": 5, "s": "a", "vec": [1.0, 2.0, 3.0], "hist": [4, 5], "t": seen, "y": b"\0", "b": True})
want = {"b": True, "l": 5, "s": "a", "y": b"\0", "t": seen, "vec": [1.0, 2.0, 3.0], "hist": [4, 5]}
batch = store.view(["all_types/" + name for name in want]).get_arrow(["x", "nobody"])
got = pyarrow.record_batch(batch)
got.validate(full=True)
assert got.to_pylist() == [want, dict.fromkeys(want)], got.to_pylist()
rows = polars.DataFrame(batch).to_dicts()
assert rows == [want, dict.fromkeys(want)], rows
assert duckdb.sql("select sum(l), max(s), count(vec) from batch").fetchall() == [(5, "a", 1)]
frame = pyarrow.table(batch).to_pandas() if not hasattr(pandas.DataFrame, "from_arrow") else pandas.DataFrame.from_arrow(batch)
assert frame["l"][0] == 5 and frame["s"].isna()[1], frame
for many in (pandas.DataFrame({"user_id": ["f1", "f2"], "clicks_7d": [1, 2]}), polars.DataFrame({"user_id": ["f1", "f2"], "clicks_7d": [1, 2]}),
             pyarrow.table({"user_id": ["f1", "f2"], "clicks_7d": [1, 2]})):
    store.put("user_stats", "f2", {"clicks_7d": 9}, force=True, event_time="2020-01-01T00:00:00Z")
    report = store.put_frame("user_stats", many)
    assert report["state"] == "done" and report["rows_read"] == "2", report
    assert store.view(["user_stats/clicks_7d"]).get(["f1", "f2"])["clicks_7d"].tolist() == [1, 2]
try:
    store.put_frame("user_stats", pandas.DataFrame({"user_id": ["f1"], "nothing": [1]}))
    raise SystemExit("a load that is refused")
except featurefs.Refused as error:
    assert "nothing" in str(error), error
print("ok")
END
	ok 'pandas, polars, DuckDB and pyarrow'
fi
