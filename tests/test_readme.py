"""What the README promises, as far as it can be held against the tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_row_has_its_test():
    """Each line of "What happens when …" names a test or a story that exists."""
    section = (ROOT / "README.md").read_text().split("## What happens when …")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    files = [*(ROOT / "tests" / "end_to_end").glob("test_*.py"), ROOT / "tests" / "test_starting.py"]
    defined = {file.name for file in files}
    for file in files:
        text = file.read_text()
        defined |= set(re.findall(r"^def (test_\w+)\(", text, re.MULTILINE))
        if stories := re.search(r"^STORIES = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL):
            defined |= set(re.findall(r"\w+", stories[1]))
    for row in rows:
        *_, tests = (cell.strip() for cell in row.strip("|").split("|"))
        names = re.findall(r"`([\w.]+)`", tests)
        assert names or row.startswith("| **"), row
        assert defined >= set(names), row
