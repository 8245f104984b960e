"""What README.md and SECURITY.md promise, as far as it can be held against the tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_row_has_its_test():
    """Each line of "What happens when …" names a test or a story that exists."""
    table = (ROOT / "README.md").read_text().split("| what happens |")[1].split("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) > 40
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


def test_every_claim_has_its_test():
    """Each line of "What holds, and the test that says so" names tests that exist."""
    table = (ROOT / "SECURITY.md").read_text().split("| | test |")[1].split("\n\n")[0]
    rows = [row for row in table.splitlines()[2:] if not row.startswith("| **")]
    assert len(rows) > 20
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "tests").rglob("*.test.mjs")]
    defined = {file.name for file in files} | {"make fuzz"}
    for file in files:
        defined |= set(re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE))
    for row in rows:
        _, tests = (cell.strip() for cell in row.strip("|").split("|"))
        names = re.findall(r"`([\w. ]+)`", tests)
        assert names, row
        assert defined >= set(names), row
