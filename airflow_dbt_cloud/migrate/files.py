"""Which files there are to migrate, and how one is written: whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["find_files", "write"]

# What holds other people's code, besides hidden folders and virtual environments.
FOREIGN = frozenset({"__pycache__", "node_modules", "site-packages"})


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """
    Yield the files that are named, and the Python files below the folders that are named, each once.

    Hidden folders, virtual environments and caches are left out, and so are links below a folder: what they
    lead to is found at its own place, or belongs to somebody else.
    """
    seen: set[Path] = set()
    for path in paths:
        for found in _below(path) if path.is_dir() else (path,):
            real = found.resolve()
            if real not in seen:
                seen.add(real)
                yield found


def write(path: Path, content: bytes) -> None:
    """
    Replace what a file holds; it keeps its permissions, and a link stays a link.

    :raises OSError: it cannot be written, and is as it was.
    """
    real = path.resolve()
    # Root may write everything; but somebody did not want it.
    if not (os.access(real, os.W_OK) and real.stat().st_mode & 0o222):
        raise PermissionError(13, "Permission denied", str(path))
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        shutil.copymode(real, name)
        Path(name).replace(real)
    except BaseException:
        # Whatever it is, Ctrl-C included: the file is as it was, and nothing lies beside it.
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_foreign(Path(parent, name)))
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix == ".py" and not name.startswith(".") and not path.is_symlink():
                yield path


def _is_foreign(folder: Path) -> bool:
    return (
        folder.name.startswith(".")
        or folder.name in FOREIGN
        or folder.is_symlink()
        or (folder / "pyvenv.cfg").exists()
    )
