"""Wheels, and environments to try them in: all of it is done by uv."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
UV = (sys.executable, "-m", "uv")


def build(folder: Path) -> tuple[Path, Path]:
    """
    Build what is published: the sdist from the checkout, and the wheel from the sdist.

    :param folder: where to; what is there is removed.
    :return: the sdist, the wheel.
    """
    options = ["--quiet", "--clear", "--build-constraints", "constraints.txt", "--out-dir", str(folder)]
    run(*UV, "build", *options, str(ROOT))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


class Environment:
    """
    A virtual environment, made anew.

    :param folder: where it is.
    :param requirements: what `uv pip install` installs there, and its options.
    """

    def __init__(self, folder: Path, *requirements: str) -> None:
        run(*UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        self.folder = folder
        self.python = str(folder / "bin" / "python")
        run(*UV, "pip", "install", "--quiet", "--python", self.python, *requirements)

    def versions(self) -> dict[str, str]:
        """Return the version of each package that is installed."""
        listed = run(*UV, "pip", "list", "--quiet", "--format", "json", "--python", self.python)
        return {package["name"]: package["version"] for package in json.loads(listed)}


def run(*command: str) -> str:
    """
    Run a command in the checkout, and return what it prints.

    :raises subprocess.CalledProcessError: it fails; what it says of that goes to our stderr.
    """
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
