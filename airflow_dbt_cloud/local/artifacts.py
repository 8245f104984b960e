"""The artifacts of a step: what dbt's target folder held when the step ended.

Of the target folder dbt Cloud keeps the JSON files, `compiled/` and `run/`. dbt writes into existing files,
so a snapshot is a copy; a file that did not change since the snapshot before is a hard link to that one's
copy.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Stamp = tuple[int, int]
_FOLDERS = ("compiled", "run")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which files were there, with time and size to tell whether they change."""

    folder: Path | None
    stamps: dict[str, _Stamp]


def take_snapshot(target: Path, folder: Path, before: Snapshot) -> tuple[Snapshot, frozenset[str]]:
    """Copy the artifacts to a folder; gives the paths that changed. Without a change there is no copy."""
    stamps = {path: _stamp(target / path) for path in _artifact_paths(target)}
    changed = frozenset(path for path, stamp in stamps.items() if before.stamps.get(path) != stamp)
    if not changed:
        return before, changed
    for path in stamps:
        destination = folder / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        if path in changed or before.folder is None:
            shutil.copyfile(target / path, destination)
        else:
            os.link(before.folder / path, destination)
    return Snapshot(folder, stamps), changed


def list_artifacts(folder: Path) -> list[str]:
    """List the paths of a snapshot."""
    return sorted(_files(folder, folder))


def find_artifact(folder: Path, path: str) -> Path | None:
    """One file of a snapshot; nothing for a path that leads elsewhere."""
    if "\0" in path:
        return None
    file = (folder / path).resolve()
    return file if file.is_relative_to(folder.resolve()) and file.is_file() else None


def _artifact_paths(target: Path) -> Iterator[str]:
    if not target.is_dir():
        return
    for entry in target.iterdir():
        if entry.is_file() and not entry.is_symlink() and entry.suffix == ".json":
            yield entry.name
    for name in _FOLDERS:
        yield from _files(target / name, target)


def _files(folder: Path, root: Path) -> Iterator[str]:
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(root).as_posix()


def _stamp(file: Path) -> _Stamp:
    status = file.stat()
    return status.st_mtime_ns, status.st_size
