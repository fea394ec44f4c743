"""Makes files with other tools than ours, and says what is in them: python make_files.py <folder>.

`expected.json` holds for each file its columns (name, type) and its rows as exact text, as `cellText` spells values.
"""

import datetime as dt
import json
import os
import sys
import uuid
import zipfile
from decimal import Decimal

import fastavro
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

folder = sys.argv[1]
expected = {}


def at(name):
    return os.path.join(folder, name)


def micros(seconds, micro):
    return dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds, microseconds=micro)


instants = [micros(0, 0), micros(1_700_000_000, 123_456), micros(-1, 1), None]
dates = [dt.date(1970, 1, 1), dt.date(2026, 11, 21), dt.date(1, 1, 1), None]
decimals = [Decimal("12345678901234567890123456789012345.678"), Decimal("-0.001"), Decimal("0.000"), None]
texts = ["plain", "한국어 텍스트, longer than twelve bytes", "", None]
longs = [9223372036854775807, -9223372036854775808, 9007199254740993, None]
ids = [uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), uuid.UUID(int=2**128 - 1), uuid.UUID(int=0), None]

columns = [
    ("id", {"kind": "int", "bits": 32}),
    ("n", {"kind": "int", "bits": 64}),
    ("small", {"kind": "int", "bits": 16}),
    ("price", {"kind": "decimal", "precision": 38, "scale": 3}),
    ("cents", {"kind": "decimal", "precision": 9, "scale": 2}),
    ("name", {"kind": "text"}),
    ("raw", {"kind": "bytes"}),
    ("ok", {"kind": "bool"}),
    ("x", {"kind": "float", "bits": 64}),
    ("f", {"kind": "float", "bits": 32}),
    ("day", {"kind": "date"}),
    ("clock", {"kind": "time"}),
    ("seen", {"kind": "timestamp", "zoned": False}),
    ("utc", {"kind": "timestamp", "zoned": True}),
    ("ms", {"kind": "timestamp", "zoned": False}),
    ("tags", {"kind": "json"}),
    ("kind", {"kind": "text"}),
]


def iso(value, zoned=False):
    if value is None:
        return None
    text = value.strftime("%Y-%m-%d %H:%M:%S") if value.year >= 1000 else value.isoformat(" ").split(".")[0]
    if value.microsecond:
        text += (".%06d" % value.microsecond).rstrip("0")
    return text + ("+00" if zoned else "")


def spelled(value):
    return None if value is None else str(value)


cents = [Decimal("1234567.89"), Decimal("-0.01"), Decimal("0.00"), None]
floats = [0.1, -1.5e300, float("inf"), None]
singles = [0.5, -3.25, 16777216.0, None]
raws = [b"\x00\xff\x10", b"", b"thirteen bytes and more", None]
clocks = [dt.time(0, 0), dt.time(23, 59, 59, 999_999), dt.time(12, 30, 0, 1), None]
millis = [None if it is None else it.replace(microsecond=it.microsecond // 1000 * 1000) for it in instants]
tags = [["a", "b"], [], ["x y"], None]
kinds = ["red", "green", "red", None]


def clock_text(value):
    if value is None:
        return None
    text = value.strftime("%H:%M:%S")
    return text + ((".%06d" % value.microsecond).rstrip("0") if value.microsecond else "")


float_text = {0.1: "0.1", -1.5e300: "-1.5e+300", float("inf"): "Infinity", None: None}
rows = []
for i in range(4):
    rows.append(
        [
            str(i + 1),
            spelled(longs[i]),
            None if i == 3 else str([32767, -32768, 0][i]),
            spelled(decimals[i]),
            spelled(cents[i]),
            texts[i],
            None if raws[i] is None else "\\x" + raws[i].hex(),
            None if i == 3 else ["true", "false", "true"][i],
            float_text[floats[i]],
            None if i == 3 else ["0.5", "-3.25", "16777216"][i],
            None if dates[i] is None else dates[i].isoformat(),
            clock_text(clocks[i]),
            iso(instants[i]),
            iso(instants[i], True),
            iso(millis[i]),
            None if tags[i] is None else json.dumps(tags[i], separators=(",", ":")),
            kinds[i],
        ]
    )

table = pa.table(
    {
        "id": pa.array([1, 2, 3, 4], pa.int32()),
        "n": pa.array(longs, pa.int64()),
        "small": pa.array([32767, -32768, 0, None], pa.int16()),
        "price": pa.array(decimals, pa.decimal128(38, 3)),
        "cents": pa.array(cents, pa.decimal128(9, 2)),
        "name": pa.array(texts, pa.string()),
        "raw": pa.array(raws, pa.binary()),
        "ok": pa.array([True, False, True, None], pa.bool_()),
        "x": pa.array(floats, pa.float64()),
        "f": pa.array(singles, pa.float32()),
        "day": pa.array(dates, pa.date32()),
        "clock": pa.array(clocks, pa.time64("us")),
        "seen": pa.array(instants, pa.timestamp("us")),
        "utc": pa.array(instants, pa.timestamp("us", tz="UTC")),
        "ms": pa.array(millis, pa.timestamp("ms")),
        "tags": pa.array(tags, pa.list_(pa.string())),
        "kind": pa.array(kinds).dictionary_encode(),
    }
)

for compression in ["none", "snappy", "zstd", "gzip"]:
    for version in ["1.0", "2.0"]:
        name = "v%s-%s.parquet" % (version[0], compression)
        pq.write_table(table, at(name), compression=compression, data_page_version=version, row_group_size=3)
        expected[name] = {"format": "parquet", "columns": columns, "rows": rows}
pq.write_table(table, at("plain.parquet"), use_dictionary=False, store_decimal_as_integer=True)
expected["plain.parquet"] = {"format": "parquet", "columns": columns, "rows": rows}

# Nanoseconds that are no microseconds are rejected; those that are, arrive.
pq.write_table(
    pa.table({"id": [1, 2], "t": pa.array([1_000, 1_001], pa.timestamp("ns"))}), at("nanos.parquet"), version="2.6"
)
expected["nanos.parquet"] = {
    "format": "parquet",
    "columns": [("id", {"kind": "int", "bits": 64}), ("t", {"kind": "timestamp", "zoned": False})],
    "rows": [["1", "1970-01-01 00:00:00.000001"]],
    "rejected": [2],
}

nested = pa.table(
    {
        "id": [1, 2],
        "it": [{"a": 9007199254740993, "b": [1.5, None]}, None],
        "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int32())),
    }
)
pq.write_table(nested, at("nested.parquet"))
expected["nested.parquet"] = {
    "format": "parquet",
    "columns": [("id", {"kind": "int", "bits": 64}), ("it", {"kind": "json"}), ("m", {"kind": "json"})],
    "rows": [["1", '{"a":9007199254740993,"b":[1.5,null]}', '{"k":1}'], ["2", None, "{}"]],
}

frame = pd.DataFrame({"id": [1, 2], "name": ["가", None]})
frame.to_parquet(at("pandas.parquet"))
expected["pandas.parquet"] = {
    "format": "parquet",
    "columns": [("id", {"kind": "int", "bits": 64}), ("name", {"kind": "text"})],
    "rows": [["1", "가"], ["2", None]],
}

many = 20_000
pq.write_table(
    pa.table({"id": pa.array(range(many), pa.int32()), "t": ["text of row %d" % i for i in range(many)]}),
    at("many.parquet"),
    row_group_size=7_000,
)
expected["many.parquet"] = {
    "format": "parquet",
    "columns": [("id", {"kind": "int", "bits": 32}), ("t", {"kind": "text"})],
    "rows": [[str(i), "text of row %d" % i] for i in range(many)],
}

logical = lambda kind, name, **more: ["null", {"type": kind, "logicalType": name, **more}]
schema = fastavro.parse_schema(
    {
        "type": "record",
        "name": "r",
        "namespace": "x.y",
        "fields": [
            {"name": "id", "type": "int"},
            {"name": "n", "type": ["null", "long"]},
            {"name": "price", "type": logical("bytes", "decimal", precision=38, scale=3)},
            {
                "name": "cents",
                "type": ["null", {"type": "fixed", "name": "c", "size": 5, "logicalType": "decimal", "precision": 9, "scale": 2}],
            },
            {"name": "name", "type": ["string", "null"]},
            {"name": "raw", "type": ["null", "bytes"]},
            {"name": "ok", "type": ["null", "boolean"]},
            {"name": "x", "type": ["null", "double"]},
            {"name": "f", "type": ["null", "float"]},
            {"name": "day", "type": logical("int", "date")},
            {"name": "clock", "type": logical("long", "time-micros")},
            {"name": "seen", "type": logical("long", "local-timestamp-micros")},
            {"name": "utc", "type": logical("long", "timestamp-micros")},
            {"name": "ms", "type": logical("long", "local-timestamp-millis")},
            {"name": "tags", "type": ["null", {"type": "array", "items": "string"}]},
            {"name": "kind", "type": ["null", {"type": "enum", "name": "k", "symbols": ["red", "green"]}]},
            {"name": "uid", "type": logical("string", "uuid")},
            {
                "name": "tree",
                "type": {
                    "type": "record",
                    "name": "node",
                    "fields": [
                        {"name": "v", "type": "long"},
                        {"name": "m", "type": {"type": "map", "values": "int"}},
                        {"name": "next", "type": ["null", "node"]},
                    ],
                },
            },
            {"name": "passed", "type": {"type": "array", "items": {"type": "map", "values": ["int", "string"]}}},
        ],
    }
)
utc = dt.timezone.utc
avro_rows = [
    {
        "id": i + 1,
        "n": longs[i],
        "price": decimals[i],
        "cents": cents[i],
        "name": texts[i],
        "raw": raws[i],
        "ok": [True, False, True, None][i],
        "x": floats[i],
        "f": singles[i],
        "day": dates[i],
        "clock": clocks[i],
        "seen": instants[i],
        "utc": None if instants[i] is None else instants[i].replace(tzinfo=utc),
        "ms": millis[i],
        "tags": tags[i],
        "kind": kinds[i],
        "uid": ids[i],
        "tree": {"v": longs[0], "m": {"k": 1}, "next": {"v": 2, "m": {}, "next": None}},
        "passed": [{"a": 1, "b": "x"}, {}],
    }
    for i in range(4)
]
avro_columns = [column for column in columns if column[0] != "small"]
avro_columns += [("uid", {"kind": "uuid"}), ("tree", {"kind": "json"})]
tree = '{"v":9223372036854775807,"m":{"k":1},"next":{"v":2,"m":{},"next":null}}'
avro_expected = [
    [cell for c, cell in enumerate(row) if columns[c][0] != "small"] + [spelled(ids[i]), tree]
    for i, row in enumerate(rows)
]
for codec in ["null", "deflate", "snappy"]:
    name = codec + ".avro"
    with open(at(name), "wb") as out:
        fastavro.writer(out, schema, avro_rows, codec=codec, sync_interval=100)
    expected[name] = {"format": "avro", "columns": avro_columns, "rows": avro_expected}
simple = {"type": "record", "name": "s", "fields": [{"name": "id", "type": "int"}, {"name": "t", "type": "string"}]}
with open(at("many.avro"), "wb") as out:
    fastavro.writer(out, simple, ({"id": i, "t": "text of row %d" % i} for i in range(many)), codec="snappy")
expected["many.avro"] = {**expected["many.parquet"], "format": "avro"}

text_columns = [("id", {"kind": "text"}), ("이름", {"kind": "text"})]
korean = pd.DataFrame({"id": ["1", "2", "3"], "이름": ["서울, 대한민국", "똠방각하", 'say "x"\ny']})
korean_rows = [["1", "서울, 대한민국"], ["2", "똠방각하"], ["3", 'say "x"\ny']]
for encoding in ["cp949", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"]:
    name = "pandas-%s.csv" % encoding
    korean.to_csv(at(name), index=False, encoding=encoding)
    read_as = {"utf-16": "utf-8", "utf-8-sig": "utf-8", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be"}.get(encoding, encoding)
    expected[name] = {"format": "csv", "encoding": read_as, "columns": text_columns, "rows": korean_rows}
japan = pd.DataFrame({"id": ["1"], "이름": ["日本語"]})
japan.rename(columns={"이름": "name"}).to_csv(at("sjis.csv"), index=False, encoding="shift_jis")
japanese = [("id", {"kind": "text"}), ("name", {"kind": "text"})]
expected["sjis.csv"] = {"format": "csv", "encoding": "shift_jis", "columns": japanese, "rows": [["1", "日本語"]]}
with open(at("latin1.csv"), "wb") as out:
    out.write("id,name\n1,Zürich €\n".encode("cp1252"))
expected["latin1.csv"] = {"format": "csv", "encoding": "latin1", "columns": japanese, "rows": [["1", "Zürich €"]]}
for ending in ["gz", "zip"]:
    name = "pandas.csv." + ending
    korean.to_csv(at(name), index=False)
    expected[name] = {"format": "csv", "columns": text_columns, "rows": korean_rows}

import cramjam

packed = bytes(cramjam.zstd.compress(korean.to_csv(index=False).encode(), level=19))
with open(at("tool.csv.zst"), "wb") as out:
    out.write(packed)
expected["tool.csv.zst"] = {"format": "csv", "columns": text_columns, "rows": korean_rows}
with zipfile.ZipFile(at("tool.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write(at("many.parquet"), "many.parquet")
expected["tool.zip"] = expected["many.parquet"]

frame.to_json(at("lines.ndjson"), orient="records", lines=True, force_ascii=True)
frame.to_json(at("records.json"), orient="records", indent=2)
for name in ["lines.ndjson", "records.json"]:
    expected[name] = {
        "format": "ndjson" if name.endswith("ndjson") else "json",
        "columns": [("id", {"kind": "text"}), ("name", {"kind": "text"})],
        "rows": [["1", "가"], ["2", None]],
    }

# A million rows of one value in a few kilobytes: a Parquet bomb.
pq.write_table(pa.table({"t": pa.array(["x" * 1000] * 400_000).dictionary_encode()}), at("bomb.parquet"))

with open(at("expected.json"), "w") as out:
    json.dump(expected, out)
