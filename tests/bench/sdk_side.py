# SPDX-License-Identifier: MIT
"""One side of bench_sdk, in Python: takes orders on standard input and answers on standard output how long a call took.

    sdk_side.py ours STORE FEATURE...       featurefs, into NumPy arrays (one entity: into a dict)
    sdk_side.py feast REPO FEATURE...       Feast's get_online_features, from Redis

An order is struct order of bench_sdk.c, an answer struct answer. Names come from the same sequence as there.
"""

import os
import struct
import sys
import time

ORDER, ANSWER = struct.Struct("=qqQqB7x"), struct.Struct("=dd")
MASK = (1 << 64) - 1
CHUNK = 100000


def names(seed, count, entities):
    out = []
    for _ in range(count):
        seed ^= seed << 13 & MASK
        seed ^= seed >> 7
        seed ^= seed << 17 & MASK
        out.append("e%07d" % (seed % entities))
    return seed, out


def ours(path, features):
    import featurefs

    view = featurefs.Store(path, map_only=True).view(features)

    def one(entities):
        if not view.get_one(entities[0]):
            raise SystemExit("no values")

    def many(entities):
        batch = view.get(entities)
        for name in batch:
            batch[name]
        if not batch.valid(name).all():
            raise SystemExit("not all values")

    return one, many


def feast(path, features):
    from feast import FeatureStore

    store = FeatureStore(repo_path=path)

    def many(entities):
        got = store.get_online_features(features=features, entity_rows=[{"id": name} for name in entities])
        if len(got.proto.results) < len(features):
            raise SystemExit("not all columns")

    got = store.get_online_features(features=features, entity_rows=[{"id": "e0000001"}]).to_dict()
    if any(values[0] is None for values in got.values()):
        raise SystemExit("Feast has no values")
    return many, many


def main():
    one, many = {"ours": ours, "feast": feast}[sys.argv[1]](sys.argv[2], sys.argv[3:])
    while True:
        order = os.read(0, ORDER.size)
        if len(order) < ORDER.size:
            break
        calls, batch, seed, entities, _ = ORDER.unpack(order)
        call = one if batch == 1 else many
        total = 0
        done = 0
        while done < calls:
            some = min(max(1, CHUNK // batch), calls - done)
            seed, texts = names(seed, some * batch, entities)
            lists = [texts[i * batch : (i + 1) * batch] for i in range(some)]
            begin = time.perf_counter_ns()
            for item in lists:
                call(item)
            total += time.perf_counter_ns() - begin
            done += some
        os.write(1, ANSWER.pack(total / 1e3 / calls, 0.0))


main()
