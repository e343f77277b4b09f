# SPDX-License-Identifier: MIT
"""Read a feature store in this process, write to it through its mount.

>>> import featurefs
>>> store = featurefs.Store(MOUNT)
>>> store.put("user_stats", "u1", {"clicks_7d": 3, "plan": "pro"}) > 0
True
>>> view = store.view(["user_stats/clicks_7d", "user_stats/plan"])
>>> view.get_one("u1")
{'clicks_7d': 3, 'plan': 'pro'}
>>> batch = view.get(["u1", "u2"])
>>> batch["clicks_7d"]
array([3, 0])
>>> batch.status("clicks_7d").tolist() == [featurefs.PRESENT, featurefs.MISSING]
True

Values are those of libfeaturefs(3): bool, int, float, str and bytes; a timestamp is a ``datetime`` (UTC); json is what ``json.loads`` makes of
it; an array is a list, or a NumPy array in batches. A null is ``None``; what is missing or past its time to live is left out of dicts, and
told apart by ``Batch.status``.

Calls of a `Store` take an entity as it is called: a text or a number, or a tuple of parts, and escape what has to be. `View.get`, and what
`Store.entities` gives, have names in written form, as in paths.

A store and its views may be used from any number of threads at once, a `Batch` by one at a time. The GIL is not held while the library reads or writes. After a fork
the child may go on with what it has. Errors are `featurefs.Error`, an ``OSError`` whose text says what to do; a name that does not exist
is `featurefs.NotFound`, a `FileNotFoundError` and a `KeyError` too.
"""

from __future__ import annotations

import base64
import datetime
import errno
import json
import math
import os
import time
import typing

from . import _featurefs

__all__ = ["Store", "View", "Batch", "Group", "Feature", "Field", "Error", "NotFound", "Refused", "PRESENT", "NULL", "MISSING", "EXPIRED"]

__version__ = _featurefs.library_version()

PRESENT, NULL, MISSING, EXPIRED = range(4)

_BOOL, _INT32, _INT64, _FLOAT32, _FLOAT64, _STRING, _BYTES, _TIMESTAMP, _JSON = range(1, 10)
_DTYPES = {_BOOL: "?", _INT32: "<i4", _INT64: "<i8", _FLOAT32: "<f4", _FLOAT64: "<f8", _TIMESTAMP: "datetime64[us]"}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_PAGE = 1000


class Error(OSError):
    """What went wrong, and what to do. ``errno`` is the errno that the C library gave."""

    def __new__(cls, number, *rest):
        if cls is Error:
            cls = _BY_ERRNO.get(number, Error)
        return OSError.__new__(cls, number, *rest)


class NotFound(Error, FileNotFoundError, KeyError):
    """There is no such store, group, feature, view or entity."""

    __str__ = OSError.__str__


class Refused(Error, ValueError):
    """A value, name or definition is not what the store takes (EINVAL, ERANGE, EILSEQ, EPERM); nothing of the change was stored."""


_BY_ERRNO = {errno.ENOENT: NotFound, errno.EINVAL: Refused, errno.ERANGE: Refused, errno.EILSEQ: Refused, errno.EPERM: Refused}
_featurefs.set_error(Error)


class Feature(typing.NamedTuple):
    """A feature of a group, as its definition has it."""

    name: str
    type: str
    description: str
    index: str
    not_null: bool
    is_retired: bool


class Group(typing.NamedTuple):
    """A feature group. ``ttl`` is in seconds, 0 where values don't expire; ``tier`` is -1 where none was said."""

    name: str
    owner: str
    description: str
    source: str
    tags: str
    tier: int
    ttl: float
    keys: tuple[str, ...]
    features: tuple[Feature, ...]


class Field(typing.NamedTuple):
    """A column of a view."""

    name: str
    group: str
    feature: str
    type: str
    base: int
    is_array: bool
    length: int
    width: int


def _numpy():
    try:
        import numpy
    except ImportError:
        raise ImportError("batches are NumPy arrays: pip install numpy (get_one and iteration do without)") from None
    return numpy


# ---- values on their way in ----


def _time_text(when) -> str:
    """RFC 3339 for a ``datetime`` (naive ones are UTC), integer nanoseconds, float seconds, or such a text itself."""
    if isinstance(when, str):
        return when
    if isinstance(when, datetime.datetime):
        when = when.replace(tzinfo=datetime.timezone.utc) if when.tzinfo is None else when.astimezone(datetime.timezone.utc)
        return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    nanoseconds = round(when * 1e9) if isinstance(when, float) else int(when)
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return (_EPOCH + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + ".%09dZ" % rest


def _plain(value):
    """A value as JSON has it: bytes in base64, times as text, nan and inf as words, NumPy's own as Python's."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, datetime.datetime):
        return _time_text(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int):
        return value
    if hasattr(value, "dtype"):
        if value.dtype.kind == "M":
            value = value.astype("datetime64[us]").astype("int64")
            return [_micros_text(v) for v in value.tolist()] if value.ndim else _micros_text(int(value))
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    raise TypeError("a value of type %s has no form in the store" % type(value).__name__)


def _micros_text(micros: int) -> str:
    return (_EPOCH + datetime.timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _name(entity) -> str:
    """The written form of an entity's name: of a text, a number, or a tuple of parts."""
    if isinstance(entity, (tuple, list)):
        return ",".join(_featurefs.escape(str(part)) for part in entity)
    return _featurefs.escape(str(entity))


# ---- the store ----


class Store:
    """A feature store: ``path`` is a mount point of it, or its STORE directory.

    Reads come from the store's map in this process; where the map may not be read, the same calls read through the mount. Writing
    needs the mount. Raises `NotFound`, or `Error` (EAGAIN: the map awaits recovery, start the daemon on it once).

    >>> store = Store(MOUNT)
    >>> 'user_stats' in [group.name for group in store.groups()]
    True
    >>> store.close()
    """

    def __init__(self, path: str | os.PathLike, *, map_only: bool = False, mount_only: bool = False):
        self._store = _featurefs.Store(os.fspath(path), (1 if map_only else 0) | (2 if mount_only else 0))

    def close(self) -> None:
        """Closes it; views of it must be gone, and no call of it may be running (RuntimeError)."""
        self._store.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def is_mapped(self) -> bool:
        """Do reads come from the map?"""
        return self._store.where()[2]

    @property
    def mount(self) -> str | None:
        """The mount that is written through; None if the store is not mounted."""
        return self._store.where()[1]

    # what exists

    def groups(self) -> list[Group]:
        """The groups, in order of their names."""
        return [
            Group(*item[:6], item[6] / 1e9, item[7], tuple(Feature(f[0], f[1], f[3], f[6], f[8], f[9]) for f in item[8]))
            for item in self._store.catalog()
        ]

    def group(self, name: str) -> Group:
        """One group. `NotFound`."""
        for group in self.groups():
            if group.name == name:
                return group
        raise NotFound(errno.ENOENT, "there is no group %s" % name)

    def schema(self, group: str) -> str:
        """The group's definition, as its ``.schema`` reads. `NotFound`."""
        return self._store.schema(group)

    def stats(self, group: str) -> dict[str, int]:
        """Counters: entities, rows, row_bytes, swept, what each lane applied and brought late (as direct_applied), and newest_event_ns (nanoseconds
        since 1970; 0: nothing was ever written). `NotFound`."""
        return self._store.stats(group)

    def entities(self, group: str, prefix: str = "", after: str | None = None) -> typing.Iterator[str]:
        """Names of entities, in written form and in order of their bytes; read a page at a time, each page from a snapshot of its own.
        ``after``: go on behind this one. `NotFound`: no such group.

        >>> store = Store(MOUNT)
        >>> _ = store.put("user_stats", "u1", {"clicks_7d": 3})
        >>> next(store.entities("user_stats", prefix="u"))
        'u1'
        """
        while True:
            page = self._store.entities(group, prefix or None, after, _PAGE).split("\n")[:-1]
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1]

    def row(self, group: str, entity) -> dict:
        """All values of one entity from one snapshot: a dict with "entity", "event_time" (text) and "features". `NotFound`."""
        return json.loads(self._store.row(group, _name(entity)))

    def rows(self, group: str, prefix: str = "") -> typing.Iterator[dict]:
        """Such a dict for each entity, in order of names; each is whole, but not all are of one moment. Entities that go meanwhile are left out."""
        for entity in self.entities(group, prefix):
            try:
                yield json.loads(self._store.row(group, entity))
            except NotFound:
                continue

    # reading many

    def view(self, what: str | typing.Sequence[str]) -> "View":
        """Prepares a list of features: the name of a view that the store has, or features as "group/feature", "column=group/feature",
        "group(key,...)/feature", "group/*"; see libfeaturefs(3). `NotFound`; `Error` with ESTALE: a feature is retired."""
        return View(self, self._store.view(what))

    # writing

    def put(self, group: str, entity, features: dict, *, event_time=None, force: bool = False, delete: typing.Sequence[str] = ()) -> int:
        """Sets values of one entity, and deletes others, as one change; makes the entity if it is not there. A value of None is a null.
        ``event_time``: a ``datetime`` (a naive one is UTC), integer nanoseconds or float seconds since 1970, or RFC 3339; None: the moment of the commit.
        ``force``: it wins whatever its event time is.

        Returns the number of a commit that has it, for `wait`: it is durable, and every later read sees it. `Refused`: nothing was stored, as with
        every `Error` but EIO, where the outcome is unknown; ESTALE: a newer value stands.

        >>> Store(MOUNT).put("user_stats", "u1", {"clicks_7d": "many"})
        Traceback (most recent call last):
          ...
        featurefs.Refused: [Errno 22] ...
        """
        return self.put_rows(group, [{"entity": entity, "features": features, "event_time": event_time, "force": force, "delete": delete}])

    def put_rows(self, group: str, rows: typing.Iterable[dict]) -> int:
        """Many rows as one atomic change: dicts with "entity", "features", and, where wanted, "event_time", "delete" (names, or True for the
        entity as a whole) and "force". `Error` with EFBIG past 16 MiB: use `put_frame`."""
        lines = []
        for row in rows:
            line = {"entity": _name(row["entity"])}
            if row.get("event_time") is not None:
                line["event_time"] = _time_text(row["event_time"])
            if row.get("features"):
                line["features"] = {name: _plain(value) for name, value in row["features"].items()}
            if row.get("delete"):
                line["delete"] = row["delete"] if row["delete"] is True else list(row["delete"])
            if row.get("force"):
                line["force"] = True
            lines.append(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        return self._store.upsert(group, lines)

    def delete(self, group: str, entity, features: typing.Sequence[str] | None = None, *, event_time=None) -> int:
        """Deletes values of one entity, or (None) the entity as a whole. Returns, and raises, what `put` does."""
        return self.put_rows(group, [{"entity": entity, "delete": True if features is None else features, "event_time": event_time}])

    def put_frame(self, group: str, frame, *, mode: str | None = None, timeout: float | None = None, progress=None) -> dict[str, str]:
        """Loads a pandas or polars DataFrame, or an Arrow table: all of its rows, or none. Columns map as those of a dropped file do: the
        group's keys or "entity", "event_time", and features by name. Writes Parquet into the group's ``.import`` and waits for its report,
        which is returned (a dict of texts); ``progress`` is called with it now and then. ``mode``: "merge" or "snapshot". `Refused` with the reason
        where the load was refused; `Error` with ETIMEDOUT after ``timeout`` seconds, while the load goes on.
        """
        if self.mount is None:
            raise Error(errno.ENOTCONN, "the store is not mounted, so nothing can be written")
        folder = os.path.join(self.mount, group, ".import")
        name = "frame-%d-%d.parquet" % (os.getpid(), time.time_ns())
        part = os.path.join(folder, "." + name + ".part")
        target = os.path.join(folder, name)
        try:
            _write_parquet(frame, part)
            if mode is not None:
                os.setxattr(part, "user.mode", mode.encode())
            os.rename(part, target)
        except BaseException:
            try:
                os.unlink(part)
            except OSError:
                pass
            raise
        return _follow(os.path.join(folder, ".reports", name + ".status"), timeout, progress)

    # versions

    def version(self) -> int:
        """The number of the newest commit that a read sees now."""
        return self._store.version()

    def wait(self, version: int, timeout: float | None = None) -> None:
        """Waits until reads see that commit. `Error` with ETIMEDOUT after ``timeout`` seconds."""
        self._store.wait(version, -1 if timeout is None else max(0, round(timeout * 1000)))


def _write_parquet(frame, path: str) -> None:
    if hasattr(frame, "write_parquet"):  # polars
        frame.write_parquet(path)
    elif hasattr(frame, "to_parquet"):  # pandas
        frame.to_parquet(path, index=False)
    elif hasattr(frame, "__arrow_c_stream__"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(frame), path)
    else:
        raise TypeError("a frame is a pandas or polars DataFrame, or has __arrow_c_stream__; not %s" % type(frame).__name__)


def _follow(path: str, timeout: float | None, progress) -> dict[str, str]:
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            with open(path) as file:
                report = dict(line.rstrip("\n").split(": ", 1) for line in file if ": " in line)
        except FileNotFoundError:
            report = {"state": "waiting"}
        if progress:
            progress(report)
        if report.get("state") == "done":
            return report
        if report.get("state") in ("failed", "cancelled"):
            raise Refused(errno.EINVAL, report.get("reason", "the load was %s" % report["state"]))
        if end is not None and time.monotonic() > end:
            raise Error(errno.ETIMEDOUT, "the load goes on; its report is %s" % path)
        time.sleep(0.02)


# ---- views ----


class View:
    """A prepared list of features. Made by `Store.view`; for any number of threads.

    ``fields`` says what the columns are, ``keys`` what names their entities. A view's columns are those of its making: when a type has
    changed since, reads raise `Error` (ESTALE) and the view is to be made anew.
    """

    def __init__(self, store: Store, view):
        self._store = store
        self._view = view
        self.fields: tuple[Field, ...] = tuple(Field(*item) for item in view.fields())
        self.keys: tuple[str, ...] = view.keys()
        self._mended = {
            field.name: field
            for field in self.fields
            if field.base in (_TIMESTAMP, _JSON) or (field.is_array and field.base in (_STRING, _BYTES))
        }
        self._guess = {}

    def __repr__(self) -> str:
        return "<featurefs.View of %s>" % ", ".join(field.name for field in self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(field.name for field in self.fields)

    def get_one(self, entity) -> dict:
        """One entity: what is present or null (None), by name of the column. An entity that is not there gives an empty dict.

        ``entity`` is its whole name in written form; a tuple of parts, or a number, is escaped and joined."""
        row = self._view.one(entity if type(entity) is str else _name(entity))
        if self._mended:
            for name, field in self._mended.items():
                if row.get(name) is not None:
                    row[name] = _mend(field, row[name])
        return row

    def get(self, ids, *, event_times: bool = False, raw: bool = False) -> "Batch":
        """Many entities, all from one snapshot: a `Batch` of NumPy arrays.

        ``ids``: names in written form (str) or numbers (a list, or an int64 array, which is not copied); of a view with several keys, a list
        of whole names, or a dict or tuple with a list for each key. ``raw``: the texts are not in written form. ``event_times``: read them too.
        """
        numpy = _numpy()
        keys, n = self._keys(ids)
        columns = [_Column(numpy, field, n, event_times, self._guess.get(i, 0)) for i, field in enumerate(self.fields)]
        while True:
            sizes = self._view.read(keys, n, [column.places() for column in columns], raw)
            if not any([column.grow(numpy, size) for column, size in zip(columns, sizes)]):
                break
            self._guess = {i: size for i, size in enumerate(sizes)}
        return Batch(self, n, columns, sizes)

    def get_arrow(self, ids, *, event_times: bool = False, status: bool = False, raw: bool = False) -> "ArrowBatch":
        """The same as an Arrow record batch by the PyCapsule protocol: ``pyarrow.record_batch(view.get_arrow(ids))``, and polars, pandas and DuckDB
        take it as it is."""
        keys, n = self._keys(ids)
        flags = (1 if event_times else 0) | (2 if status else 0)
        return ArrowBatch(self._view, flags, self._view.arrow(keys, n, raw, flags))

    def _keys(self, ids):
        if isinstance(ids, dict):
            missing = [key for key in self.keys if key not in ids]
            if missing:
                raise ValueError("the view's keys are %s; %s is missing" % (", ".join(self.keys), missing[0]))
            keys = [ids[key] for key in self.keys]
        elif isinstance(ids, tuple) and len(self.keys) > 1 and len(ids) == len(self.keys):
            keys = list(ids)
        else:
            keys = [ids]
        return keys, len(keys[0])


def _mend(field: Field, value):
    """Values whose Python form the thin half does not know."""
    if field.base == _TIMESTAMP:
        if field.is_array:
            return [_EPOCH + datetime.timedelta(microseconds=item) for item in value]
        return _EPOCH + datetime.timedelta(microseconds=value)
    value = json.loads(value)
    if field.is_array and field.base == _BYTES:
        return [base64.b64decode(item) for item in value]
    return value


class _Column:
    """The buffers of one column while it is read."""

    def __init__(self, numpy, field: Field, n: int, event_times: bool, guess: int):
        self.field = field
        self.status = numpy.empty(n, "u1")
        self.event_ns = numpy.empty(n, "<i8") if event_times else None
        self.offsets = None
        if field.width:
            shape = (n, field.length) if field.is_array else n
            self.values = numpy.empty(shape, _DTYPES[field.base])
        else:
            self.offsets = numpy.empty(n + 1, "<i8")
            self.values = numpy.empty(max(guess, 16 * n, 64), "u1")

    def places(self):
        values = self.values
        if values.dtype.kind == "M":
            values = values.view("<i8")
        return (values, self.offsets, None, self.status, self.event_ns)

    def grow(self, numpy, size: int) -> bool:
        if self.offsets is None or size <= self.values.nbytes:
            return False
        self.values = numpy.empty(size + size // 8, "u1")
        return True


class Batch:
    """Columns of many entities, all from one snapshot: a mapping of names to NumPy arrays in the order of the entities asked for. Its memory is
    its own and outlives the view. For one thread at a time.

    An array has n elements of the feature's type (timestamp: datetime64[us]), of T[N] the shape is (n, N).
    Where a value is not present an array has 0, NaN, False or NaT (arrays of lengths that vary and texts: None); ``status`` and ``valid`` tell.
    Texts, json and T[] are object arrays.
    """

    def __init__(self, view: View, n: int, columns, sizes):
        self._view = view
        self._columns = {column.field.name: column for column in columns}
        self._made: dict = {}
        self._n = n
        self._sizes = {column.field.name: size for column, size in zip(columns, sizes)}

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> typing.Iterator[str]:
        return iter(self._columns)

    def keys(self) -> tuple[str, ...]:
        return tuple(self._columns)

    def __getitem__(self, name: str):
        if name not in self._made:
            self._made[name] = self._make(self._columns[name])
        return self._made[name]

    def status(self, name: str):
        """PRESENT, NULL, MISSING or EXPIRED for each entity, as uint8."""
        return self._columns[name].status

    def valid(self, name: str):
        """Is the value present? bool for each entity."""
        return self._columns[name].status == PRESENT

    def event_times(self, name: str):
        """datetime64[ns] for each entity, NaT where there is none; asked for by ``get(..., event_times=True)``."""
        column = self._columns[name]
        if column.event_ns is None:
            raise ValueError("event times were not read: get(ids, event_times=True)")
        times = column.event_ns.view("datetime64[ns]").copy()
        times[column.status == MISSING] = "NaT"
        return times

    def to_dict(self) -> dict[str, list]:
        """Lists of Python values by name of the column, None where a value is not present."""
        out = {}
        for name in self._columns:
            values = self[name]
            listed = values.tolist() if values.dtype != object else [v.tolist() if hasattr(v, "tolist") else v for v in values]
            if self._columns[name].field.base == _TIMESTAMP and not self._columns[name].field.is_array:
                listed = [when and when.replace(tzinfo=datetime.timezone.utc) for when in listed]
            out[name] = [value if ok else None for value, ok in zip(listed, self.valid(name).tolist())]
        return out

    def to_matrix(self, dtype="float32"):
        """All columns side by side, one row an entity, T[N] as N columns; NaN where a value is not present. A new array. TypeError, but for
        numbers, bools and T[N] of them."""
        numpy = _numpy()
        parts = []
        for name, column in self._columns.items():
            values = self[name]
            if values.dtype == object or values.dtype.kind == "M":
                raise TypeError("column %s (%s) has no place in a matrix of numbers" % (name, column.field.type))
            values = values.astype(dtype).reshape(self._n, -1)
            values[~self.valid(name)] = numpy.nan
            parts.append(values)
        return numpy.concatenate(parts, axis=1)

    def _make(self, column):
        numpy = _numpy()
        field = column.field
        if column.offsets is None:
            if field.base == _TIMESTAMP:
                column.values[column.status != PRESENT] = "NaT"
            return column.values
        out = numpy.empty(self._n, object)
        if field.base in (_STRING, _BYTES, _JSON):
            is_bytes = field.base == _BYTES and not field.is_array
            _featurefs.texts(out, column.values, column.offsets, column.status, self._n, is_bytes)
            if field.name in self._view._mended:
                for i in range(self._n):
                    if column.status[i] == PRESENT:
                        out[i] = _mend(field, out[i])
            return out
        width = numpy.dtype(_DTYPES[field.base]).itemsize
        items = column.values[: self._sizes[field.name]].view(_DTYPES[field.base]) if self._sizes[field.name] % width == 0 else None
        for i in range(self._n):
            if column.status[i] == PRESENT:
                out[i] = items[column.offsets[i] : column.offsets[i + 1]].copy()
        return out


class ArrowBatch:
    """A record batch that Arrow's users take by the PyCapsule protocol, as often as they like: nothing is copied."""

    def __init__(self, view, flags, batch):
        self._view, self._flags, self._batch = view, flags, batch

    def __arrow_c_schema__(self):
        return self._view.arrow_schema(self._flags)

    def __arrow_c_array__(self, requested_schema=None):
        return self.__arrow_c_schema__(), _featurefs.arrow_array(self._batch)
