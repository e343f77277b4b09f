# SPDX-License-Identifier: MIT
"""What Feast's materialize takes for N of the benchmark's rows: FOLDER PARQUET N PORT, with a Redis at that port of this host. Prints seconds.

Feast reads the same Parquet file (cut to N rows), with its file offline store, into its Redis online store."""
import datetime as dt
import os
import pathlib
import shutil
import sys
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["FEAST_USAGE"] = "False"
folder, parquet, rows, port = pathlib.Path(sys.argv[1]) / "feast", sys.argv[2], int(sys.argv[3]), sys.argv[4]
said, sys.stdout = sys.stdout, sys.stderr

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Bool, Float64, Int64, String

shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
table = pq.read_table(parquet).slice(0, rows)
at = table.schema.get_field_index("event_time")
table = table.set_column(at, "event_time", table.column(at).cast(pa.timestamp("us", tz="UTC")))
pq.write_table(table, folder / "rows.parquet")
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
types = {"f": Float64, "i": Int64, "s": String, "b": Bool}
names = ["f0", "f1", "f2", "f3", "i0", "i1", "i2", "s0", "s1", "b0"]
view = FeatureView(
    name="g",
    entities=[user],
    ttl=dt.timedelta(days=36500),
    source=FileSource(name="rows", path=str(folder / "rows.parquet"), timestamp_field="event_time"),
    schema=[Field(name=n, dtype=types[n[0]]) for n in names],
)
store = FeatureStore(
    config=RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{port}"},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
)
store.apply([user, view])
begun = time.perf_counter()
store.materialize(dt.datetime(2026, 11, 1, tzinfo=dt.timezone.utc), dt.datetime(2026, 11, 30, tzinfo=dt.timezone.utc), feature_views=["g"])
seconds = time.perf_counter() - begun
got = store.get_online_features(features=["g:i0", "g:s0"], entity_rows=[{"user_id": table.column("user_id")[0].as_py()}]).to_dict()
if got["i0"][0] != table.column("i0")[0].as_py():
    sys.exit(f"Feast did not load: {got}")
shutil.rmtree(folder, ignore_errors=True)
print(f"{seconds:.3f}", file=said)
