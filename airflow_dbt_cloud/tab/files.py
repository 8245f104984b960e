"""
The tab's own files: modules for the browser, and icons.

They are read once, and only what was found then is ever served, whatever a path says. Their addresses hold
the version of this package, so that a browser may keep them for ever.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from airflow_dbt_cloud import __version__
from airflow_dbt_cloud.tab.addresses import PREFIX, base_path

__all__ = ["File", "address_of", "read_files"]

FOLDERS = ("static", "icons")
KINDS = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class File(NamedTuple):
    """A file, and what it is."""

    content: bytes
    kind: str


def address_of(name: str) -> str:
    """Return where a browser finds a file, as a path of Airflow's host."""
    return f"{base_path()}{PREFIX}/static/{__version__}/{name}"


def read_files() -> dict[str, File]:
    """Return all files by their names: paths below their folder."""
    files: dict[str, File] = {}
    for folder in (Path(__file__).parent / name for name in FOLDERS):
        for path in folder.rglob("*"):
            if path.is_file():
                kind = KINDS.get(path.suffix, "text/plain")
                files[path.relative_to(folder).as_posix()] = File(path.read_bytes(), kind)
    return files
