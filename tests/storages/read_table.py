"""Reads what a storage wrote, with programs that are not ours.

Answers each line of stdin, a JSON object, with one line on stdout:

  {"place": PLACE, "table": NAME, "columns": [[NAME, TYPE], ...]}
      -> {"columns": [NAME, ...], "rows": [[TEXT or null, ...], ...]}
         columns: every column that is there; rows: the values of the columns asked
         for, as canonical text of their logical type. {"columns": null}: no such table
  {"place": PLACE, "list": true}
      -> {"names": [NAME, ...]}: tables, files, objects: everything that is there
  any error -> {"error": TEXT}

PLACE says what reads: sqlite3 and json of Python, DuckDB for Parquet and CSV, psql,
google-cloud-bigquery, PyAthena and boto3.

Canonical text: true and false; digits; repr of a float; a decimal without the
zeros at its end; text itself; bytes in hexadecimal; 2024-01-01;
2024-01-01T00:00:00.000000Z; JSON with its keys in order and without blanks.
"""

import base64
import csv
import datetime
import decimal
import functools
import json
import os
import subprocess
import sys
import urllib.parse


def canonical(value, logical: str):
    if value is None:
        return None
    if logical == "boolean":
        return {"true": "true", "false": "false", "1": "true", "0": "false", "t": "true", "f": "false"}[str(value).lower()]
    if logical == "int64":
        if isinstance(value, float):
            raise ValueError(f"{value!r} is no integer")
        return str(int(value))
    if logical == "float64":
        return repr(float(value))
    if logical.startswith("decimal"):
        return decimal_text(value)
    if logical == "bytes":
        return value if isinstance(value, str) else bytes(value).hex()
    if logical == "date":
        return date_text(value)
    if logical == "timestamp":
        return timestamp_text(value)
    if logical == "json":
        parsed = json.loads(value) if isinstance(value, str) else value
        return json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def decimal_text(value) -> str:
    if isinstance(value, float):
        raise ValueError(f"{value!r} is no exact number")
    text = format(decimal.Decimal(str(value)), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def date_text(value) -> str:
    if isinstance(value, datetime.date):
        return f"{value.year:04}-{value.month:02}-{value.day:02}"
    datetime.date.fromisoformat(value)
    return value


def timestamp_text(value) -> str:
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc)
    return f"{date_text(value.date())}T{value.hour:02}:{value.minute:02}:{value.second:02}.{value.microsecond:06}Z"


def result(there, asked, rows):
    """Columns that are not there are null, as in every reader that takes tables of several shapes together."""
    types = [logical for _, logical in asked]
    return {"columns": there, "rows": [[canonical(v, t) for v, t in zip(row, types)] for row in rows]}


def quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, mark * 2) + mark


def select(asked, there, mark: str = '"') -> str:
    return ", ".join(quoted(name, mark) if name in there else "NULL" for name, _ in asked)


class Sqlite:
    def __init__(self, place):
        import sqlite3

        # Read-only, so that nothing is made that the storage did not make.
        self.connection = sqlite3.connect(f"file:{place['path']}?mode=ro", uri=True) if os.path.exists(place["path"]) else None

    def names(self):
        if self.connection is None:
            return []
        return [name for (name,) in self.connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]

    def read(self, table, asked):
        if table not in self.names():
            return {"columns": None}
        there = [name for (name,) in self.connection.execute("SELECT name FROM pragma_table_xinfo(?)", [table])]
        return result(there, asked, self.connection.execute(f"SELECT {select(asked, there)} FROM {quoted(table)}"))

    def close(self):
        if self.connection is not None:
            self.connection.close()


class Postgres:
    def __init__(self, place):
        self.place = place

    def ask(self, json_of_row, rest):
        # In hexadecimal, since psql leaves out characters that it takes for invalid, such as U+10FFFF.
        sql = f"SELECT encode(convert_to(({json_of_row})::text, 'UTF8'), 'hex') {rest};"
        command = ["psql", "--no-psqlrc", "-qtA", "-v", "ON_ERROR_STOP=1", "-d", self.place["url"], "-f", "-"]
        sql = "SET timezone = 'UTC'; SET bytea_output = 'hex'; SET extra_float_digits = 3; SET datestyle = 'ISO';\n" + sql
        done = subprocess.run(command, input=sql.encode(), capture_output=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        return [json.loads(bytes.fromhex(line)) for line in done.stdout.decode().split()]

    def names(self):
        return self.ask(
            "to_json(CASE WHEN n.nspname = %s THEN c.relname ELSE n.nspname || '.' || c.relname END)"
            % self.text(self.place["schema"]),
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
        )

    @staticmethod
    def text(value):
        return "'" + value.replace("'", "''") + "'"

    def read(self, table, asked):
        there = self.ask(
            "to_json(column_name)",
            "FROM information_schema.columns "
            f"WHERE table_schema = {self.text(self.place['schema'])} AND table_name = {self.text(table)} ORDER BY ordinal_position"
        )
        if not there:
            return {"columns": None}
        values = {
            "bytes": "encode({}, 'hex')",
            "timestamp": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
        }
        columns = [values.get(logical, "{}::text").format(quoted(name)) if name in there else "NULL" for name, logical in asked]
        rows = self.ask(f"json_build_array({', '.join(columns)})", f"FROM {quoted(self.place['schema'])}.{quoted(table)}")
        return result(there, asked, rows)

    def close(self):
        pass


class Files:
    """A stream's folder, as a person would read it."""

    def __init__(self, place):
        self.root, self.extension = place["path"], "." + place["reader"]

    def names(self):
        return [os.path.relpath(os.path.join(folder, name), self.root) for folder, _, files in os.walk(self.root) for name in files]

    def read(self, table, asked):
        folders = [name for name in os.listdir(self.root) if urllib.parse.unquote(name) == table] if os.path.isdir(self.root) else []
        if not folders:
            return {"columns": None}
        files = [
            os.path.join(inside, name)
            for inside, _, names in os.walk(os.path.join(self.root, folders[0]))
            for name in names
            if name.endswith(self.extension) and not name.startswith(("_", "."))
        ]
        return self.read_files(sorted(files), asked) if files else {"columns": [], "rows": []}

    def with_duckdb(self, reader, files, asked):
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        there = [column[0] for column in connection.execute(f"SELECT * FROM {reader} LIMIT 0", {"files": files}).description]
        rows = connection.execute(f"SELECT {select(asked, there)} FROM {reader}", {"files": files}).fetchall()
        return there, rows

    def close(self):
        pass


class Parquet(Files):
    def read_files(self, files, asked):
        # No option such as union_by_name: all files of a table have the same columns.
        there, rows = self.with_duckdb("read_parquet($files)", files, asked)
        return result(there, asked, rows)


class Csv(Files):
    def read_files(self, files, asked):
        # Nothing is left to DuckDB's guesses but the end of lines.
        with open(files[0], encoding="utf-8", newline="") as file:
            names = next(csv.reader(file))
        columns = ", ".join(f"{quoted(name, chr(39))}: 'VARCHAR'" for name in names)
        reader = (
            "read_csv($files, auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', "
            f"allow_quoted_nulls = false, max_line_size = 50000000, columns = {{{columns}}})"
        )
        there, rows = self.with_duckdb(reader, files, asked)
        return result(there, asked, ([from_text(v, t) for v, (_, t) in zip(row, asked)] for row in rows))


class JsonLines(Files):
    def read_files(self, files, asked):
        lines = [json.loads(line, parse_constant=refuse) for file in files for line in open(file, encoding="utf-8")]
        there = list(dict.fromkeys(name for line in lines for name in line))
        rows = [[from_json(line.get(name), logical) for name, logical in asked] for line in lines]
        return result(there, asked, rows)


def refuse(constant):
    raise ValueError(f"{constant} is no JSON")


def from_text(value, logical):
    return base64.b64decode(value, validate=True) if logical == "bytes" and value is not None else value


def from_json(value, logical):
    """Numbers and truth values have to be such, and JSON stands as itself."""
    if value is None:
        return None
    expected = {"boolean": bool, "int64": int, "float64": (int, float), "json": object}.get(logical, str)
    if not isinstance(value, expected) or (isinstance(value, bool) and logical not in ("boolean", "json")):
        raise ValueError(f"{value!r} is no {logical}")
    return json.dumps(value) if logical == "json" else from_text(value, logical)


class BigQuery:
    def __init__(self, place):
        self.place, self.client = place, bigquery_client(place["url"], place["project"])

    def names(self):
        from google.api_core.exceptions import NotFound

        try:
            return [table.table_id for table in self.client.list_tables(self.place["dataset"])]
        except NotFound:
            return []

    def read(self, table, asked):
        from google.api_core.exceptions import NotFound

        name = f"{self.place['project']}.{self.place['dataset']}.{table}"
        try:
            there = [(field.name, field.field_type) for field in self.client.get_table(name).schema]
        except NotFound:
            return {"columns": None}
        types = dict(there)
        columns = [
            "NULL" if column not in types else ("TO_JSON_STRING({})" if types[column] == "JSON" else "{}").format(quoted(column, "`"))
            for column, _ in asked
        ]
        columns = ", ".join(f"{value} AS c{index}" for index, value in enumerate(columns))
        rows = self.client.query(f"SELECT {columns} FROM `{name}`").result(timeout=60)
        return result([column for column, _ in there], asked, (tuple(row) for row in rows))

    def close(self):
        pass


@functools.cache
def bigquery_client(url, project):
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    return bigquery.Client(project=project, credentials=AnonymousCredentials(), client_options=ClientOptions(api_endpoint=url))


class Athena:
    def __init__(self, place):
        self.place = place
        self.cursor, self.glue, self.s3 = athena_clients(place["url"], place["region"], place["output"])

    def tables(self):
        try:
            pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=self.place["database"])
            return {table["Name"]: table for page in pages for table in page["TableList"]}
        except self.glue.exceptions.EntityNotFoundException:
            return {}

    def names(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.place["bucket"], Prefix=self.place.get("prefix", ""))
        objects = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return list(self.tables()) + ["s3:" + key for key in objects]

    def read(self, table, asked):
        if table not in self.tables():
            return {"columns": None}
        name = f"{quoted(self.place['database'])}.{quoted(table)}"
        there = [column["Name"] for column in self.tables()[table]["StorageDescriptor"]["Columns"]]
        cast = {"bytes": "to_hex({})", "timestamp": "CAST({} AS varchar)", "date": "CAST({} AS varchar)"}
        columns = [cast.get(logical, "{}").format(quoted(column)) if column in there else "NULL" for column, logical in asked]
        self.cursor.execute(f"SELECT {', '.join(columns)} FROM {name}")
        rows = [[v.lower() if v is not None and t == "bytes" else v for v, (_, t) in zip(row, asked)] for row in self.cursor.fetchall()]
        return result(there, asked, rows)

    def close(self):
        pass


@functools.cache
def athena_clients(url, region, output):
    import boto3
    from pyathena import connect

    keys = {"endpoint_url": url, "region_name": region, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    cursor = connect(s3_staging_dir=output, poll_interval=0.02, **keys).cursor()
    return cursor, boto3.client("glue", **keys), boto3.client("s3", **keys)


READERS = {"sqlite": Sqlite, "parquet": Parquet, "csv": Csv, "jsonl": JsonLines, "postgres": Postgres, "bigquery": BigQuery, "athena": Athena}


def answer(request):
    reader = READERS[request["place"]["reader"]](request["place"])
    try:
        if request.get("list"):
            return {"names": sorted(reader.names())}
        return reader.read(request["table"], request["columns"])
    finally:
        reader.close()


def main():
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception as error:  # the test that asked is to see it
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
