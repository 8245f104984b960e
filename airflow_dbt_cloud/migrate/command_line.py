"""The command line: options, the diff, the report and the exit code."""

from __future__ import annotations

import argparse
import os
import sys
from difflib import diff_bytes, unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_dbt_cloud.migrate.files import find_files, write
from airflow_dbt_cloud.migrate.inspection import CHANGE, LOOK
from airflow_dbt_cloud.migrate.migration import MigrationError, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_dbt_cloud.migrate.migration import Migration

__all__ = ["main", "make_parser"]

DONE, LEFT, TROUBLE = 0, 1, 2
DESCRIPTION = """\
Rewrite the imports of apache-airflow-providers-dbt-cloud in DAG files to airflow-dbt-cloud.

Without --write no file is touched: the changes are printed as a diff, to the standard output. What needs a
human eye is said on the standard error, with file and line:

  change   it does not work with airflow-dbt-cloud as it stands
  look     it works, and does something else

That is said of what is imported from the official provider: read it before you write. Files are read, never
imported. Below a folder only *.py is looked at; hidden folders, virtual environments and links are left out.
"""
EPILOG = """\
exit codes:
  0   nothing imports the official provider any more
  1   there is something to rewrite (without --write), or something to change by hand
  2   a file could not be read, understood or written; the others are done
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate what the arguments name, and return the exit code."""
    options = make_parser().parse_args(arguments)
    work = _Work(is_writing=options.write, is_quiet=options.quiet)
    for path in find_files(options.paths):
        work.migrate(path)
    work.sum_up()
    return work.exit_code


class _Work:
    """What was done, and what was found."""

    def __init__(self, *, is_writing: bool, is_quiet: bool) -> None:
        self._is_writing = is_writing
        self._is_quiet = is_quiet
        self._files = 0
        self._rewritten = 0
        self._troubles = 0
        self._places = {CHANGE: 0, LOOK: 0}

    @property
    def exit_code(self) -> int:
        if self._troubles:
            return TROUBLE
        is_pending = self._rewritten and not self._is_writing
        return LEFT if is_pending or self._places[CHANGE] else DONE

    def migrate(self, path: Path) -> None:
        """Migrate a file, and say what there is to say of it."""
        try:
            source = path.read_bytes()
            self._files += 1
            migration = migrate(source)
            if migration.is_pending and self._is_writing:
                write(path, migration.result)
        except (OSError, MigrationError) as error:
            self._troubles += 1
            _say(f"{path}: error: {error.strerror if isinstance(error, OSError) else error}")
            return
        if migration.is_pending:
            self._rewritten += 1
            self._show(path, migration)
        is_moved = self._is_writing and migration.is_pending
        for line, kind, sentence in migration.findings_in_result if is_moved else migration.findings:
            self._places[kind] += 1
            _say(f"{path}:{line}: {kind}: {sentence}")

    def sum_up(self) -> None:
        """Say what it comes to."""
        done = "rewritten" if self._is_writing else "to rewrite (with --write)"
        parts = [f"{_count(self._files, 'file')} looked at", f"{self._rewritten} {done}"]
        parts += [
            f"{count} to {kind}"
            for kind, count in (("change by hand", self._places[CHANGE]), ("look at", self._places[LOOK]))
            if count
        ]
        parts += [f"{_count(self._troubles, 'file')} in error"] if self._troubles else []
        _say("; ".join(parts) + ".")

    def _show(self, path: Path, migration: Migration) -> None:
        if self._is_writing:
            _say(f"{path}: rewritten")
        elif not self._is_quiet:
            sys.stdout.buffer.writelines(_diff(path, migration))
            sys.stdout.flush()


def _diff(path: Path, migration: Migration) -> Iterator[bytes]:
    old, new = (text.splitlines(keepends=True) for text in (migration.source, migration.result))
    name = os.fsencode(path)
    for line in diff_bytes(unified_diff, old, new, name, name):
        yield line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_dbt_cloud.migrate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a DAG file, or a folder of them")
    parser.add_argument("--write", action="store_true", help="rewrite the files")
    parser.add_argument("--quiet", action="store_true", help="print no diff, only what needs a human eye")
    return parser


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _say(words: str) -> None:
    print(words, file=sys.stderr)  # noqa: T201 - a command line prints
