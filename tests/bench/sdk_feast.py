# SPDX-License-Identifier: MIT
"""Makes the Feast repository that sdk_side.py reads, and fills its Redis: sdk_feast.py REPO HOST:PORT ROWS

Entities e0000000 and so on; 25 views w0 to w24 of ten features, and one view, tall, of ninety.
"""

import datetime
import pathlib
import random
import sys
import warnings

warnings.simplefilter("ignore")
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType  # noqa: E402
from feast.types import Bool, Float64, Int64, String  # noqa: E402
import pandas  # noqa: E402

TYPES = [Float64] * 4 + [Int64] * 3 + [String] * 2 + [Bool]


def value(k, chance):
    if k < 4:
        return chance.random() * 1000
    if k < 7:
        return chance.randrange(1000000, 10000000)
    return "%012x" % chance.getrandbits(48) if k < 9 else chance.random() < 0.5


def main(repo, redis, rows):
    repo = pathlib.Path(repo)
    repo.mkdir(parents=True)
    (repo / "feature_store.yaml").write_text(
        "project: bench\nprovider: local\nregistry:\n  path: registry.db\nonline_store:\n  type: redis\n  connection_string: \"%s\"\n"
        "offline_store:\n  type: file\nentity_key_serialization_version: 3\n" % redis
    )
    source = repo / "rows.parquet"
    user = Entity(name="user", join_keys=["id"], value_type=ValueType.STRING)

    def view(name, prefix, features):
        return FeatureView(
            name=name,
            entities=[user],
            ttl=datetime.timedelta(days=36500),
            source=FileSource(name=name + "_source", path=str(source), timestamp_field="event_timestamp"),
            schema=[Field(name="id", dtype=String)] + [Field(name="%sf%d" % (prefix, k), dtype=TYPES[k % 10]) for k in range(features)],
        )

    views = [view("w%d" % g, "w%d_" % g, 10) for g in range(25)] + [view("tall", "", 90)]
    chance = random.Random(7)
    names = ["e%07d" % i for i in range(rows)]
    now = pandas.Timestamp.now(tz="UTC")
    store = FeatureStore(repo_path=str(repo))
    pandas.DataFrame({"id": names[:1], "event_timestamp": [now]}).to_parquet(source)
    store.apply([user, *views])
    for item in views:
        frame = {"id": names, "event_timestamp": [now] * rows}
        for field in item.schema:
            if field.name != "id":
                k = TYPES.index(field.dtype)
                frame[field.name] = [value(k, chance) for _ in range(rows)]
        store.write_to_online_store(item.name, pandas.DataFrame(frame), allow_registry_cache=False)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
