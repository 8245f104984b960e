"""What benchmarks have found, and the tables that are made of it."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("findings", ROOT / "benchmarks" / "findings.py")
findings = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(findings)


def test_the_tables_are_those_of_the_results():
    """The README's tables are what its script makes of the results."""
    text = findings.README.read_text()
    assert text.count("<!-- table: ") == len(list((ROOT / "benchmarks" / "results").glob("*.json"))) == 3
    assert findings.fill(text) == text


def test_what_is_recorded_can_be_read(tmp_path, monkeypatch, capsys):
    """A table is printed as its rows come, and saved with machine, date and load."""
    monkeypatch.setattr(findings, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["trial.py", "--seed", "1"])
    findings.record("trial", ["who", "s"], [{"who": "ours", "s": 1.23456}, {"who": "idle"}], save=True)
    assert capsys.readouterr().out == "| who | s |\n|---|---:|\n| ours | 1.23 |\n| idle |  |\n"
    found = findings.read("trial")
    assert found["rows"] == [{"who": "ours", "s": 1.23456}, {"who": "idle"}]
    assert found["command"] == "python benchmarks/trial.py --seed 1"
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["load"].keys() == {"lowest", "highest"}
