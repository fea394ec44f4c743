"""Loads a table of MariaDB with dlt as its documentation shows. Arguments: address, relation, DuckDB file, expected rows."""
import os
import sys
import tempfile

url, relation, file, expected = sys.argv[1:]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["DLT_DATA_DIR"] = tempfile.mkdtemp(prefix="naru-bench-dlt-")

import dlt
from dlt.sources.sql_database import sql_table

table = sql_table(
    url, table=relation, backend="pyarrow", chunk_size=100_000
)
pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb(file), dataset_name="raw", pipelines_dir=tempfile.mkdtemp())
pipeline.run(table)
with pipeline.sql_client() as client:
    rows = client.execute_sql(f"select count(*) from {relation}")[0][0]
if rows != int(expected):
    sys.exit(f"{rows} rows arrived, {expected} were expected")
