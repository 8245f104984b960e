"""What the documents promise, as far as it can be held against the tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = "| what happens | the run in dbt Cloud | the task | test |\n|---|---|---|---|\n"


def list_rows(document):
    """Return the lines of a document's tables of what happens when."""
    _, *tables = (ROOT / document).read_text().split(HEAD)
    return [row for table in tables for row in table.split("\n\n")[0].splitlines()]


def list_tests():
    """Return the names of the files, tests and stories that may back a line."""
    files = [*(ROOT / "tests" / "end_to_end").glob("test_*.py"), ROOT / "tests" / "test_starting.py"]
    defined = {file.name for file in files}
    for file in files:
        text = file.read_text()
        defined |= set(re.findall(r"^def (test_\w+)\(", text, re.MULTILINE))
        if stories := re.search(r"^STORIES = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL):
            defined |= set(re.findall(r"\w+", stories[1]))
    return defined


def list_names(row):
    """Return the tests that a line names, in its last cell."""
    return re.findall(r"`([\w.]+)`", row.strip("|").split("|")[-1])


def test_every_row_has_its_test():
    """Each line of "What happens when …" names a test or a story that exists."""
    rows, defined = list_rows("docs/what-happens-when.md"), list_tests()
    assert len(rows) > 40
    for row in rows:
        assert list_names(row), row
        assert defined >= set(list_names(row)), row


def test_the_short_table_says_the_same():
    """Each line of the README's table says of run, task and test what the whole table says."""
    rows = [row.split("|")[2:] for row in list_rows("docs/what-happens-when.md")]
    short = list_rows("README.md")
    assert len(short) > 5
    for row in short:
        assert row.split("|")[2:] in rows, row


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
