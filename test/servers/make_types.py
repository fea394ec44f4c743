"""Writes one file for each type with other tools than ours, and prints each value as that tool prints it.

`python make_types.py <folder> < types.json`: the lists of `src/testing/files/hard-values.ts`. File `parquet-0/v.parquet`
has the columns `id`, counted from 1, and `v`, with the values of the first type. On stdout: the texts by format and type.
"""

import datetime as dt
import json
import os
import re
import sys
import uuid
from decimal import Decimal, localcontext

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

folder = sys.argv[1]
given = json.load(sys.stdin)


def arrow_type(name):
    if name == "dictionary":
        return pa.string()
    if name == "uuid":
        return pa.uuid()
    if name == "list":
        return pa.list_(pa.string())
    if name == "map":
        return pa.map_(pa.string(), pa.int64())
    if name == "struct":
        return pa.struct([("a", pa.int64()), ("b", pa.list_(pa.float64()))])
    found = re.fullmatch(r"decimal128\((\d+), (\d+)\)", name)
    if found:
        return pa.decimal128(int(found[1]), int(found[2]))
    found = re.fullmatch(r"binary\((\d+)\)", name)
    if found:
        return pa.binary(int(found[1]))
    found = re.fullmatch(r"timestamp\[(\w+), tz=(\w+)\]", name)
    if found:
        return pa.timestamp(found[1], tz=found[2])
    return pa.type_for_alias(name)


def nanos(text):
    whole, fraction = text.split(".")
    hours, minutes, seconds = whole.split(":")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 10**9 + int(fraction)


def arrow_array(name, texts):
    kind = arrow_type(name)
    if name.startswith("binary"):
        return pa.array([bytes.fromhex(it) for it in texts], kind)
    if name.startswith("decimal"):
        return pa.array([Decimal(it) for it in texts], kind)
    if name == "uuid":
        return pa.array([uuid.UUID(it).bytes for it in texts], kind)
    if name in ("list", "struct"):
        return pa.array([json.loads(it) for it in texts], kind)
    if name == "map":
        return pa.array([list(json.loads(it).items()) for it in texts], kind)
    if name == "time64[ns]":
        return pa.array([nanos(it) for it in texts], pa.int64()).cast(kind)
    if name.startswith(("time32", "time64")):
        return pa.array([dt.time.fromisoformat(it) for it in texts], kind)
    if "tz=" in name:
        return pa.array(texts).cast(pa.timestamp(kind.unit)).cast(pa.int64()).cast(kind)
    return pa.array(texts).cast(kind)


def arrow_texts(name, column):
    if name.startswith("binary"):
        return ["\\x" + it.hex() for it in column.to_pylist()]
    if name == "uuid":
        return [str(it) for it in column.to_pylist()]
    if name == "map":
        return [json.dumps(dict(it), separators=(",", ":")) for it in column.to_pylist()]
    if name in ("list", "struct"):
        return [json.dumps(it, separators=(",", ":"), ensure_ascii=False) for it in column.to_pylist()]
    if name.startswith("decimal"):
        return [format(it, "f") for it in column.to_pylist()]
    if name == "dictionary":
        column = column.cast(pa.string())
    return pc.cast(column, pa.string()).to_pylist()


def parquet(at, name, texts):
    values = arrow_array(name, texts)
    if name == "dictionary":
        values = values.dictionary_encode()
    pq.write_table(pa.table({"id": pa.array(range(1, len(texts) + 1), pa.int32()), "v": values}), at, version="2.6")
    return arrow_texts(name, pq.read_table(at)["v"].combine_chunks())


epoch = dt.datetime(1970, 1, 1)


def avro_value(schema, text):
    kind = schema if isinstance(schema, str) else schema["type"]
    logical = None if isinstance(schema, str) else schema.get("logicalType")
    if logical == "decimal":
        return Decimal(text)
    if logical == "date":
        return dt.date.fromisoformat(text)
    if logical in ("time-millis", "time-micros"):
        return dt.time.fromisoformat(text)
    if logical is not None and "timestamp" in logical:
        micros = (dt.datetime.fromisoformat(text) - epoch) // dt.timedelta(microseconds=1)
        return micros // 1000 if logical.endswith("millis") else micros
    if kind in ("bytes", "fixed"):
        return bytes.fromhex(text)
    if kind in ("float", "double"):
        return float(text)
    if kind in ("string", "enum"):
        return text
    return json.loads(text)


def avro_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, dt.datetime):
        text = value.replace(tzinfo=None).isoformat(" ")
        return text + "Z" if value.tzinfo else text
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def avro(at, schema, texts):
    fields = [{"name": "id", "type": "int"}, {"name": "v", "type": schema}]
    record = fastavro.parse_schema({"type": "record", "name": "row", "fields": fields})
    with localcontext() as context:
        context.prec = 100
        rows = [{"id": i + 1, "v": avro_value(schema, it)} for i, it in enumerate(texts)]
        with open(at, "wb") as out:
            fastavro.writer(out, record, rows)
        with open(at, "rb") as file:
            return [avro_text(row["v"]) for row in fastavro.reader(file)]


def place(format_name, i):
    own = os.path.join(folder, "%s-%d" % (format_name, i))
    os.mkdir(own)
    return os.path.join(own, "v." + format_name)


# What is refused by name, or cut and told.
refused = pa.array([Decimal("9" * 45 + ".00001"), Decimal("1.5")], pa.decimal256(50, 5))
within = pa.array([{"d": it} for it in refused.to_pylist()], pa.struct([("d", pa.decimal256(50, 5))]))
pq.write_table(pa.table({"id": pa.array([1, 2], pa.int32()), "v": refused, "w": within}), os.path.join(folder, "wide.parquet"))
stamps = pa.array([1_700_000_000_123_456_000, 1_700_000_000_123_456_789], pa.timestamp("ns"))
pq.write_table(pa.table({"id": [1, 2], "v": stamps}), os.path.join(folder, "int96.parquet"), use_deprecated_int96_timestamps=True)

printed = {}
for format_name, write in [("parquet", parquet), ("avro", avro)]:
    printed[format_name] = [
        write(place(format_name, i), it["written"], it["values"] + it.get("unfit", []))
        for i, it in enumerate(given[format_name])
    ]
json.dump(printed, sys.stdout)
