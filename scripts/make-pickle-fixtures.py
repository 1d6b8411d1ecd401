"""Writes test/fixtures/pickles.json: pickles by several Pythons, and messages by several versions of ipyparallel.

    python3 scripts/make-pickle-fixtures.py --python PYTHON... --ipyparallel PYTHON...
    python3 scripts/make-pickle-fixtures.py --structures PYTHON...   (writes only test/fixtures/structures.json; needs numpy)

Each --python pickles the values below in every protocol that it supports. Each --ipyparallel is a Python with ipyparallel,
which serializes the objects below; with numpy and pandas, also arrays and tables. Equal pickles are written once.
Expected values are typed JSON, {"t": TYPE, "v": VALUE}, which test/support/generators/typed-json.ts reads.
"""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import json
import os
import pathlib
import pickle
import posixpath
import subprocess
import sys
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "test", "fixtures", "pickles.json")
STRUCTURES = os.path.join(ROOT, "test", "fixtures", "structures.json")


# -- classes of this module, which decode to opaque values ------------------------------------------------------


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a = 1
        self.b = 2

    def __reduce__(self):
        return (Slotted, (), (None, {"a": 1, "b": 2}))


class Outer:
    class Inner:
        pass


class MyList(list):
    pass


class MyDict(dict):
    pass


class Keyworded:
    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (1,), {"scale": 2}


class Color(enum.Enum):
    RED = "red"


Pair = collections.namedtuple("Pair", "left right")


def module_function(x):
    return x


# -- the typed JSON form -----------------------------------------------------------------------------------------


def typed(value):
    if value is None:
        return {"t": "null"}
    if type(value).__module__ == "numpy":
        if value.shape == ():
            return typed(value.item())
        return {"t": "array", "dtype": str(value.dtype), "shape": list(value.shape), "v": typed(value.ravel().tolist())}
    if isinstance(value, bool):
        return {"t": "bool", "v": value}
    if isinstance(value, int):
        return {"t": "int", "v": str(value)}
    if isinstance(value, float):
        return {"t": "float", "v": repr(value)}
    if isinstance(value, str):
        return {"t": "str", "v": value}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"t": "bytes", "v": bytes(value).hex()}
    if isinstance(value, (list, tuple, collections.deque)):
        return {"t": "list", "v": [typed(v) for v in value]}
    if isinstance(value, dict):
        return {"t": "dict", "v": [[typed(k), typed(v)] for k, v in value.items()]}
    if isinstance(value, (set, frozenset)):
        return {"t": "set", "v": [typed(v) for v in value]}
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        utc = aware.replace(tzinfo=None) - aware.utcoffset()
        return {"t": "date", "v": utc.isoformat(timespec="milliseconds") + "Z"}
    if isinstance(value, datetime.date):
        return {"t": "value", "name": "PlainDate", "v": value.isoformat()}
    if isinstance(value, datetime.time):
        return {"t": "value", "name": "PlainTime", "v": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        parts = (value.days, value.seconds, value.microseconds)
        return {"t": "value", "name": "TimeDelta", "v": "%d days %d s %d us" % parts}
    if isinstance(value, complex):
        return {"t": "value", "name": "Complex", "v": "%r %r" % (value.real, value.imag)}
    if isinstance(value, decimal.Decimal):
        return {"t": "value", "name": "Decimal", "v": str(value)}
    if isinstance(value, uuid.UUID):
        return {"t": "value", "name": "Uuid", "v": str(value)}
    if isinstance(value, fractions.Fraction):
        return {"t": "value", "name": "Fraction", "v": str(value)}
    raise TypeError(type(value))


def opaque(name, **parts):
    return {"t": "opaque", "name": name, "parts": {k: typed(v) for k, v in parts.items()}}


# -- values ------------------------------------------------------------------------------------------------------


def plain_values():
    ints = [0, 1, -1, 255, 256, 65535, 65536, -128, -129, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]
    ints += [2**53 - 1, 2**53, -(2**53) + 1, -(2**53), 2**63, -(2**63), 2**64, 10**40, -(10**40)]
    yield "constants", [None, True, False]
    yield "ints", ints
    yield "int past 255 bytes", 2**2048 + 1
    yield "negative int past 255 bytes", -(2**2048) - 1
    yield "floats", [0.0, -0.0, 1.5, -1.5, 3.141592653589793, 1e300, 1e-300, 5e-324, 1e22]
    yield "not finite", [float("inf"), float("-inf"), float("nan")]
    yield "texts", ["", "plain", "gr\u00fc\u00dfe", "\U0001d11e clef", "line\nback\\slash \\u0041 \\\\u0041"]
    yield "odd texts", ["\x00\x1a\r", "\ufeffmark", "\ud800 lone", "'\"", "x" * 300]
    yield "bytes", [b"", b"abc", bytes(range(256)), b"y" * 300]
    yield "bytearrays", [bytearray(), bytearray(b"abc\xff")]
    yield "lists", [[], [1], [[], [[2]]], list("abc")]
    yield "long list", list(range(1005))
    yield "tuples", ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),))
    yield "dict", {"a": 1, "b": {"c": [2, {"d": None}]}, "": 0}
    yield "dict of odd names", {"__proto__": {"polluted": True}, "constructor": 1, "toString": 2, "10": 3, "2": 4}
    yield "dict by ints", {1: "one", 2: "two"}
    yield "dict by mixed keys", {"a": 1, 2: "b", None: 3}
    yield "set", {1, 2, 3}
    yield "frozenset", frozenset([4, 5])
    yield "empty sets", [set(), frozenset()]
    yield "set of a frozenset", {frozenset([1])}
    yield "naive datetime", datetime.datetime(2026, 11, 22, 14, 29, 34, 640390)
    yield "first and last datetime", [datetime.datetime.min, datetime.datetime.max]
    yield "utc datetime", datetime.datetime(2026, 11, 22, 14, 29, 34, 640390, datetime.timezone.utc)
    zones = [
        datetime.timezone(datetime.timedelta(hours=5, minutes=30)),
        datetime.timezone(datetime.timedelta(hours=-8), "PST"),
        datetime.timezone(datetime.timedelta(seconds=-17, microseconds=250)),
    ]
    yield "datetimes with offsets", [datetime.datetime(2020, 1, 1, 0, 0, 0, 100, zone) for zone in zones]
    yield "dates", [datetime.date(2020, 2, 29), datetime.date.min]
    yield "times", [
        datetime.time(13, 5),
        datetime.time(1, 2, 3, 250),
        datetime.time(1, 2, tzinfo=datetime.timezone.utc),
        datetime.time(1, 2, tzinfo=zones[1]),
    ]
    yield "timedeltas", [datetime.timedelta(days=-1, microseconds=1500), datetime.timedelta(3, 4)]
    yield "complex", 1.5 - 2j
    yield "decimals", [decimal.Decimal("1.10"), decimal.Decimal("-Infinity")]
    yield "uuids", [uuid.UUID("12345678-1234-5678-1234-567812345678"), uuid.UUID(int=1)]
    yield "OrderedDict", collections.OrderedDict([("b", 1), ("a", 2)])
    yield "defaultdict", collections.defaultdict(list, {"a": [1]})
    yield "Counter", collections.Counter("aab")
    yield "deques", [collections.deque([1, 2]), collections.deque([1, 2], maxlen=5)]
    try:
        from zoneinfo import ZoneInfo
    except ImportError:
        return
    berlin, york = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
    moments = [(2026, 7, 1, 12), (2026, 1, 1, 12), (2026, 10, 25, 2, 30), (2026, 3, 29, 2, 30)]
    folds = [datetime.datetime(*m, fold=f, tzinfo=z) for z in (berlin, york) for m in moments for f in (0, 1)]
    folds += [datetime.datetime(2026, 11, 1, 1, 30, fold=f, tzinfo=york) for f in (0, 1)]
    # Protocols before 4 do not pickle `fold`.
    yield "datetimes in zones", [d for d in folds if d.fold == 0]
    yield "datetimes in zones, second hour", folds, 4


def opaque_values():
    point = Point(1, [2])
    yield "instance", point, opaque("__main__.Point", args=(), state={"x": 1, "y": [2]})
    yield "instance with slots", Slotted(), opaque("__main__.Slotted", state=(None, {"a": 1, "b": 2}))
    yield "nested class", Outer.Inner, opaque("__main__.Outer.Inner")
    yield "instance of a nested class", Outer.Inner(), opaque("__main__.Outer.Inner")
    items = MyList([1, 2])
    yield "list subclass", items, opaque("__main__.MyList", items=[1, 2])
    entries = MyDict(a=1)
    yield "dict subclass", entries, opaque("__main__.MyDict", entries={"a": 1})
    yield "namedtuple", Pair(1, "r"), opaque("__main__.Pair", args=(1, "r")), 2
    yield "namedtuple of old protocols", Pair(1, "r"), opaque("__main__.Pair")
    yield "enum member", Color.RED, opaque("__main__.Color", args=("red",))
    yield "keyword arguments", Keyworded(), opaque("__main__.Keyworded", args=(1,), kwargs={"scale": 2}), 4
    yield "exception", ValueError("bad", 3), opaque("builtins.ValueError", args=("bad", 3))
    yield "Fraction", fractions.Fraction(1, 3), typed(fractions.Fraction(1, 3))
    yield "range", range(3), opaque("builtins.range", args=(0, 3, 1))
    path = pathlib.PurePosixPath("/a/b")
    yield "path", path, opaque(type(path).__module__ + ".PurePosixPath")
    yield "class", collections.OrderedDict, opaque("collections.OrderedDict")
    yield "builtin class", int, opaque("builtins.int")
    yield "function", posixpath.join, opaque("posixpath.join")
    yield "function of this module", module_function, opaque("__main__.module_function")
    try:
        import numpy
    except ImportError:
        return
    for name, value in [("ndarray", numpy.arange(3)), ("numpy float", numpy.float64(1.5)), ("numpy int", numpy.int32(1))]:
        yield name, value, typed(value)
    try:
        import pytz
    except ImportError:
        return
    noon = datetime.datetime(2026, 7, 1, 12)
    aware = [pytz.timezone("Europe/Berlin").localize(noon), pytz.utc.localize(noon), pytz.FixedOffset(90).localize(noon)]
    yield "datetimes of pytz", aware, typed(aware)
    from dateutil import tz

    aware = [noon.replace(tzinfo=tz.tzutc()), noon.replace(tzinfo=tz.tzoffset("x", -3600))]
    yield "datetimes of dateutil", aware, typed(aware)
    yield "datetime in a zone file", noon.replace(tzinfo=tz.gettz("Europe/Berlin")), opaque("datetime.datetime")


def shapes():
    """Values with shared or cyclic references; tests select each by name."""
    loop = []
    loop.append(loop)
    yield "list in itself", loop
    knot = {}
    knot["self"] = knot
    knot["tuple"] = (knot,)
    yield "dict in itself", knot
    shared = [1]
    yield "shared list", [shared, shared, {"again": shared}]
    node = Point(0, None)
    node.y = node
    yield "instance in itself", node
    laughs = ["ha"]
    for _ in range(60):
        laughs = [laughs] * 10
    yield "billion laughs", laughs


def emit_values():
    version = "%d.%d" % sys.version_info[:2]
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    found = []

    def emit(name, value, expected, oldest=0):
        for protocol in protocols:
            if protocol >= oldest:
                data = pickle.dumps(value, protocol)
                by = "%s p%d" % (version, protocol)
                found.append({"name": name, "expected": expected, "hex": data.hex(), "by": by})

    for name, value, *oldest in plain_values():
        emit(name, value, typed(value), *oldest)
    for name, value, expected, *oldest in opaque_values():
        emit(name, value, expected, *oldest)
    for name, value in shapes():
        emit(name, value, {"t": "shape"})
    return found


def emit_tables():
    """pandas tables, if pandas is installed; tests have the expected values."""
    try:
        import pandas
    except ImportError:
        return []
    frame = pandas.DataFrame(
        {
            "id": [1, 2],
            "name": ["x", None],
            "size": [1.5, 2.5],
            "more": [3, 4],
            "when": pandas.to_datetime(["2026-01-01", "2026-01-02"]),
            "kind": pandas.Categorical(["p", "q"]),
            "maybe": pandas.array([1, None], dtype="Int64"),
        },
        index=["r1", "r2"],
    )
    tables = [
        ("frame", frame),
        ("turned", frame[["id", "more"]].T),
        ("texts turned", frame[["name", "kind"]].astype(object).T),
        ("levels", frame.set_index(["id", "kind"])[["size"]]),
        ("series", frame["size"]),
        ("index", pandas.DatetimeIndex(["2026-01-01"], name="day")),
    ]
    by = "pandas " + pandas.__version__
    return [
        {"name": name, "by": by, "pickles": [pickle.dumps(table, protocol).hex() for protocol in range(6)]}
        for name, table in tables
    ]


def emit_structures():
    """Arrays of records; tests have the expected values."""
    import numpy

    nested = [("p", "<f4", (2,)), ("n", [("x", "i1"), ("y", ">i2")])]
    nested = numpy.array([((1, 2), (3, 4)), ((5, 6), (7, 8))], dtype=nested)
    aligned = numpy.dtype([("a", "i1"), ("b", ">f8"), ("t", "<U2")], align=True)
    structures = [
        ("nested", nested),
        ("aligned", numpy.array([(1, 2.5, "ab")], dtype=aligned).view(numpy.recarray)),
        ("titled", numpy.array([(7,)], dtype=[(("Title", "a"), "i1")])),
        ("one", nested[0]),
        ("fortran", numpy.asfortranarray(numpy.zeros((2, 2), dtype=[("a", "i1")]))),
        ("objects", numpy.array([(1, "x")], dtype=[("a", "i1"), ("o", object)])),
    ]
    by = "numpy " + numpy.__version__
    return [
        {"name": name, "by": by, "pickles": [pickle.dumps(array, protocol).hex() for protocol in range(2, 6)]}
        for name, array in structures
    ]


def emit_out_of_band():
    buffers = []
    value = [pickle.PickleBuffer(b"read only"), pickle.PickleBuffer(bytearray(b"writable"))]
    data = pickle.dumps(value, 5, buffer_callback=buffers.append)
    return {
        "hex": data.hex(),
        "in_band_hex": pickle.dumps(value, 5).hex(),
        "buffers": [bytes(buffer).hex() for buffer in buffers],
    }


# -- messages of ipyparallel -------------------------------------------------------------------------------------


def inner_function(a, b=2):
    return a + b


inner_function.__module__ = "__main__"
# IPython's file name, so that fixtures do not contain local paths.
inner_function.__code__ = inner_function.__code__.replace(co_filename="<ipython-input-1>")


class Local:
    size = 3


def results():
    utc = datetime.timezone.utc
    big, bigger = b"0123456789", b"abcdefghijkl"
    plain = [
        ("number", 1024),
        ("none", None),
        ("big int", 2**70),
        ("text", "gr\u00fc\u00dfe \U0001d11e"),
        ("small bytes", b"abc"),
        ("bytes apart", big),
        ("empty bytes", b""),
        ("memoryview", memoryview(bigger)),
        ("list", [1, [2, [3, (4,)]], {"a": {"b": None}}]),
        ("list with bytes", [b"abc", big, 1, bigger, [b"inside"]]),
        ("tuple with bytes", (big, b"")),
        ("dict with bytes", {"10": big, "2": bigger, "\uffff": b"third-third", "\U0001d11e": b"fourth-fourth"}),
        ("dict of odd names", {"__proto__": big, "constructor": 1}),
        ("dict by ints", {10: big, 2: bigger}),
        ("set with bytes", {big}),
        ("set", {1, 2}),
        ("naive datetime", datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)),
        ("aware datetimes", [datetime.datetime(2026, 1, 2, tzinfo=utc)]),
        ("long list with bytes", [big] * 3 + list(range(70))),
    ]
    for name, value in plain:
        yield name, value, typed(value)
    import ipyparallel

    yield "function", inner_function, opaque("__main__.inner_function")
    yield "reference", ipyparallel.Reference("data['x']"), opaque("__main__.data['x']")
    yield "class of a session", Local, opaque("__main__.Local")
    partial = functools.partial(inner_function, big, 1, b=bigger)
    yield "partial with bytes", partial, opaque("functools.partial", kwargs={"b": bigger})
    dependent = ipyparallel.dependent(inner_function, inner_function, 1)
    yield "dependent function", dependent, opaque("ipyparallel.controller.dependency.dependent")
    try:
        import numpy
    except ImportError:
        return
    arrays = [
        ("array", numpy.arange(6, dtype="<i2").reshape(2, 3)),
        ("array of objects", numpy.array([None, 1], dtype=object)),
        ("list of arrays", [numpy.zeros(4, "u1"), b"small"]),
    ]
    for name, value in arrays:
        yield name, value, typed(value)


def emit_messages():
    import ipyparallel
    from ipyparallel.serialize import canning, pack_apply_message, serialize_object

    hook = canning._uncan_dependent_hook
    hook.__code__ = hook.__code__.replace(co_filename="canning.py")

    by = "ipyparallel " + ipyparallel.__version__

    def frames(buffers):
        return [bytes(buffer).hex() for buffer in buffers]

    found = []
    for name, value, expected in results():
        buffers = serialize_object(value, buffer_threshold=8)
        found.append({"name": name, "by": by, "expected": expected, "frames": frames(buffers)})

    args, kwargs = (1, b"0123456789", [b"abcdefghij", "x"]), {"key": b"klmnopqrst", "__proto__": None}
    expected = {"args": typed(args), "kwargs": typed(kwargs)}
    applies = []
    for name, function in [("__main__.inner_function", inner_function), ("posixpath.join", posixpath.join)]:
        buffers = pack_apply_message(function, args, kwargs, buffer_threshold=8)
        applies.append(dict(expected, name=name, by=by, frames=frames(buffers)))
    buffers = pack_apply_message(ipyparallel.Reference("f"), (), {})
    applies.append({"name": "__main__.f", "by": by, "frames": frames(buffers), "args": typed(()), "kwargs": typed({})})
    return {"results": found, "applies": applies}


# -- command line ------------------------------------------------------------------------------------------------


def run(python, what):
    """Runs this file in another Python and returns its output."""
    env = dict(os.environ, PYTHONHASHSEED="0")
    output = subprocess.run([python, __file__, "--emit", what], env=env, stdout=subprocess.PIPE, check=True).stdout
    return json.loads(output.decode("ascii"))


def merge(pickles):
    """Returns one entry per value, with its distinct pickles and the Pythons that wrote each."""
    values = {}
    for found in pickles:
        expected = json.dumps(found["expected"], sort_keys=True)
        value = values.setdefault(
            (found["name"], expected), {"name": found["name"], "expected": found["expected"], "pickles": {}}
        )
        value["pickles"].setdefault(found["hex"], []).append(found["by"])
    for value in values.values():
        value["pickles"] = [{"by": by, "hex": data} for data, by in value["pickles"].items()]
    return list(values.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--ipyparallel", action="append", default=[])
    parser.add_argument("--emit", choices=["values", "tables", "structures", "oob", "messages"])
    parser.add_argument("--structures", action="append", default=[])
    options = parser.parse_args()
    if options.emit:
        emit = {"values": emit_values, "tables": emit_tables, "structures": emit_structures, "oob": emit_out_of_band, "messages": emit_messages}[options.emit]
        print(json.dumps(emit()))
        return
    if options.structures:
        found = [array for python in options.structures for array in run(python, "structures")]
        with open(STRUCTURES, "w", encoding="ascii") as out:
            out.write("[\n" + ",\n".join("  " + json.dumps(array) for array in found) + "\n]\n")
        return
    if not options.python or not options.ipyparallel:
        parser.error("pass at least one --python and one --ipyparallel")
    messages = [run(python, "messages") for python in options.ipyparallel]
    fixtures = {
        "about": "Written by scripts/make-pickle-fixtures.py; do not edit.",
        "values": merge([found for python in options.python for found in run(python, "values")]),
        "tables": [table for python in options.python for table in run(python, "tables")],
        "out_of_band": run(options.python[-1], "oob"),
        "results": [found for message in messages for found in message["results"]],
        "applies": [found for message in messages for found in message["applies"]],
    }
    with open(OUT, "w", encoding="ascii") as out:
        # One entry per line, so that diffs show changed entries only.
        out.write("{\n")
        for i, (key, value) in enumerate(fixtures.items()):
            if isinstance(value, list):
                text = "[\n" + ",\n".join("  " + json.dumps(entry) for entry in value) + "\n ]"
            else:
                text = json.dumps(value)
            out.write(' %s: %s%s\n' % (json.dumps(key), text, "," if i < len(fixtures) - 1 else ""))
        out.write("}\n")


main()
