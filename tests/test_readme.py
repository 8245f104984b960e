"""What the README promises, as far as it can be held against the tests."""

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
