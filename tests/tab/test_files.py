"""The tab's own files."""

import importlib.resources

from airflow_dbt_cloud.tab.files import read_files


def test_all_are_there():
    """Each file of the tab can be served, under its path."""
    files = read_files()
    package = importlib.resources.files("airflow_dbt_cloud.tab")
    for folder in ("icons", "static"):
        for path in (package / folder).rglob("*.*"):
            name = path.relative_to(package / folder).as_posix()
            assert files[name].content == path.read_bytes()
    assert "dbt.svg" in files


def test_kinds():
    """Browsers take a module, or an icon, only if it says that it is one."""
    kinds = {name.rpartition(".")[2]: file.kind for name, file in read_files().items()}
    assert (kinds["js"], kinds["svg"]) == ("text/javascript", "image/svg+xml")
    assert "text/html" not in kinds.values()


def test_nothing_else():
    """No file of the package but those for the browser can be served."""
    assert not [
        name for name in read_files() if name.endswith((".py", ".pyc")) or name.startswith((".", "/"))
    ]
