"""Copy everything from the SQLite file to a new PostgreSQL database, and check it.

    python -m user_stub.copy --from sqlite:////path/to/users.sqlite --to postgresql://host/name

Stop the service first, and start it with the new `DATABASE_URL` afterwards. The file stays as it
is, and nobody can write to it meanwhile. The target must be empty; its tables are made here. All
happens in one transaction: after a failure the target is as it was.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Table, func, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from user_stub.database import Database, DatabaseBusy
from user_stub.models import Base

ROWS_AT_ONCE = 1_000
BUSY_TIMEOUT_S = 600.0
TABLES: list[Table] = Base.metadata.sorted_tables

Row = dict[str, Any]


class CopyError(Exception):
    """The copy was not made; the text says why."""


def copy(source: Connection, target: Connection) -> dict[str, int]:
    """Copy all rows, compare both sides, and return the number of rows per table.

    Both connections are in a transaction of the caller. Raise `CopyError` where the target holds
    rows already, or in the end not those of the source.
    """
    for table in TABLES:
        if target.scalar(select(func.count()).select_from(table)):
            raise CopyError(f"the target is not empty: {table.name} holds rows")
    # A file from an earlier release may lack a table; the new one is empty then.
    there = set(inspect(source).get_table_names())
    if not there & {table.name for table in TABLES}:
        raise CopyError("the source has none of the tables")
    counts = {}
    for table in TABLES:
        rows = _rows(source, table) if table.name in there else iter(())
        read = _Content()
        while piece := _piece(rows):
            target.execute(insert(table), piece)
            read.add(piece)
        written = _Content()
        for row in _rows(target, table):
            written.add([row])
        if written != read:
            raise CopyError(f"{table.name}: the rows of the target are not those of the source")
        _continue_numbers(target, table)
        counts[table.name] = read.count
    return counts


class _Content:
    """Count and digest of rows in any order, as the two databases order texts differently."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, rows: list[Row]) -> None:
        for row in rows:
            line = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
            self._sum += int.from_bytes(hashlib.sha256(line).digest(), "big")
        self.count += len(rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _rows(connection: Connection, table: Table) -> Iterator[Row]:
    found = connection.execute(select(table), execution_options={"yield_per": ROWS_AT_ONCE})
    for row in found.mappings():
        yield dict(row)


def _piece(rows: Iterator[Row]) -> list[Row]:
    return [row for _, row in zip(range(ROWS_AT_ONCE), rows, strict=False)]


def _continue_numbers(target: Connection, table: Table) -> None:
    """Let the next row that the database numbers come after those that were copied."""
    column = table.autoincrement_column
    if column is None:
        return
    target.execute(
        select(
            func.setval(
                func.pg_get_serial_sequence(table.name, column.name),
                func.coalesce(func.max(column), 0) + 1,
                False,
            )
        )
    )


def _databases(source: str, target: str) -> tuple[Database, Database]:
    try:
        source_url, target_url = make_url(source), make_url(target)
    except ArgumentError:
        raise CopyError("an address is not well-formed") from None
    if source_url.get_backend_name() != "sqlite" or not source_url.database:
        raise CopyError("--from must be the address of an SQLite file, sqlite:////path")
    if not Path(source_url.database).is_file():
        raise CopyError(f"there is no file {source_url.database}")
    if target_url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise CopyError("--to must be the address of a PostgreSQL database, postgresql://host/name")
    address = target_url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    return Database(source, BUSY_TIMEOUT_S), Database(address, BUSY_TIMEOUT_S)


def run(source: str, target: str) -> dict[str, int]:
    """Copy from address to address; raise `CopyError`, or what the databases raise."""
    old, new = _databases(source, target)
    try:
        with old.writing() as reading, new.writing() as writing:
            new.upgrade_schema(writing)
            return copy(reading.connection(), writing.connection())
    finally:
        old.close()
        new.close()


def main(arguments: list[str] | None = None) -> int:
    """Copy, say what was copied, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m user_stub.copy", description="Copy the SQLite file to PostgreSQL."
    )
    parser.add_argument("--from", dest="source", required=True, help="sqlite:////path/to/file")
    parser.add_argument("--to", dest="target", required=True, help="postgresql://host/database")
    given = parser.parse_args(arguments)
    try:
        counts = run(given.source, given.target)
    except CopyError as error:
        return _failed(str(error))
    except (SQLAlchemyError, DatabaseBusy) as error:
        # The driver's own text; SQLAlchemy's would add the statement.
        return _failed(f"{type(error).__name__}: {getattr(error, 'orig', None) or error}")
    lines = [f"{name}: {count} rows, compared" for name, count in counts.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _failed(reason: str) -> int:
    sys.stderr.write(f"nothing was copied: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
