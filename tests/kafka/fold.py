# SPDX-License-Identifier: MIT
"""
What a topic of tests/kafka/produce (shape=mixed) makes of a group, by somebody who shares no code with the store: kcat reads it, this folds it.

The group: entity = key; filter.type = click; event_time = $.ts in nanoseconds, the record's for a tombstone; a int64, b float64, c string,
d int32[]. The newest event time wins, so that the outcome depends on how far each partition was read, and on nothing else.
"""
import json
import subprocess

INT32, INT64 = range(-2**31, 2**31), range(-2**63, 2**63)


def is_int(v, span):
    return type(v) is int and v in span


TYPES = {
    "a": lambda v: is_int(v, INT64),
    "b": lambda v: type(v) in (int, float),
    "c": lambda v: type(v) is str,
    "d": lambda v: type(v) is list and all(is_int(x, INT32) for x in v),
}


def messages(brokers, topic, partition, first, end):
    """Yields (timestamp_ms, key, value) of the offsets from `first` up to before `end`; None for a missing key or value."""
    if first >= end:
        return
    kcat = subprocess.Popen(["kcat", "-C", "-q", "-b", brokers, "-t", topic, "-p", str(partition), "-o", str(first), "-c", str(end - first),
                             "-X", "check.crcs=true", "-f", "%o %T %K %S\n%k%s\n"], stdout=subprocess.PIPE)
    for want in range(first, end):
        head = kcat.stdout.readline().split()
        if len(head) != 4 or int(head[0]) != want:
            raise SystemExit("fold: kcat gave %r where offset %d of partition %d should be" % (head, want, partition))
        key_len, value_len = int(head[2]), int(head[3])
        body = kcat.stdout.read(max(key_len, 0) + max(value_len, 0) + 1)[:-1]
        key = None if key_len < 0 else body[:key_len]
        yield int(head[1]), key, None if value_len < 0 else body[max(key_len, 0):]
    kcat.stdout.close()
    kcat.wait()


class Fold:
    def __init__(self, brokers, topic, partitions):
        self.brokers, self.topic = brokers, topic
        self.next = [0] * partitions
        self.ahead = [set() for _ in range(partitions)]         # offsets behind `next` that are folded already
        self.messages = self.filtered = self.dead = self.rows = 0
        self.values = {}        # entity -> feature -> (time, value)
        self.tombs = {}         # entity -> time

    def advance(self, positions, ahead=None):
        """Reads on to these positions, one a partition; and of what lies behind each, the offsets in its set."""
        for partition, end in enumerate(positions):
            had, more = self.ahead[partition], ahead[partition] if ahead else set()
            if end < self.next[partition]:
                raise SystemExit("fold: partition %d went back from %d to %d" % (partition, self.next[partition], end))
            if any(offset >= end and offset not in more for offset in had):
                raise SystemExit("fold: partition %d: what was done behind %d is not done any more" % (partition, end))
            first, last = self.next[partition], max(more, default=end - 1) + 1
            for offset, message in enumerate(messages(self.brokers, self.topic, partition, first, last), first):
                if (offset < end or offset in more) and offset not in had:
                    self.add(*message)
            self.next[partition], self.ahead[partition] = end, set(more)

    def add(self, timestamp_ms, key, value):
        self.messages += 1
        entity = key.decode()
        if value is None:
            self.rows += 1
            self.tombs[entity] = max(timestamp_ms * 10**6, self.tombs.get(entity, -1))
            return
        try:
            row = json.loads(value.decode())
        except ValueError:
            self.dead += 1
            return
        if type(row) is not dict:
            self.dead += 1
            return
        if row["type"] != "click":
            self.filtered += 1
            return
        found = {name: row[name] for name in TYPES if name in row}
        if any(v is not None and not TYPES[name](v) for name, v in found.items()):
            self.dead += 1
        elif not found:
            self.filtered += 1
        else:
            self.rows += 1
            features = self.values.setdefault(entity, {})
            for name, v in found.items():
                if name not in features or features[name][0] < row["ts"]:
                    features[name] = (row["ts"], v)

    def state(self):
        """entity -> feature -> value, of what stands."""
        out = {}
        for entity, features in self.values.items():
            live = {name: v for name, (time, v) in features.items() if time > self.tombs.get(entity, -1)}
            if live:
                out[entity] = live
        return out


def dump_state(lines):
    """The same out of `featurectl dump` of one group."""
    out = {}
    for line in lines:
        row = json.loads(line)
        out.setdefault(row["entity"], {}).update(row.get("features", {}))
    return out


def differences(want, got):
    """Up to five, in words."""
    out = []
    for entity in sorted(set(want) | set(got)):
        if want.get(entity) != got.get(entity):
            out.append("%s: the topic says %r, the store %r" % (entity, want.get(entity), got.get(entity)))
            if len(out) == 5:
                break
    return out
