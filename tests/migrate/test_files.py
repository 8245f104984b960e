"""Which files are looked at, and how one is written."""

import stat

import pytest

from airflow_dbt_cloud.migrate.files import find_files, write


def make(folder, *names):
    """Make empty files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*paths, below):
    """Return what is found, as names below a folder."""
    return [str(path.relative_to(below)) for path in find_files(paths)]


def test_folders(tmp_path):
    """Below a folder all Python files are taken, in order, but none of hidden folders and environments."""
    make(tmp_path, "b.py", "a.py", "team/c.py", "team/c.txt", ".git/d.py", ".e.py", "__pycache__/f.py")
    make(tmp_path, "env/pyvenv.cfg", "env/lib/g.py", "x/site-packages/h.py", "node_modules/i.py")
    assert found(tmp_path, below=tmp_path) == ["a.py", "b.py", "team/c.py"]


def test_named_files(tmp_path):
    """A file that is named is taken, whatever it is called, and also one that is not there."""
    make(tmp_path, "script", ".hidden/a.py")
    paths = [tmp_path / name for name in ("script", ".hidden/a.py", "missing.py")]
    assert list(find_files(paths)) == paths


def test_once(tmp_path):
    """A file is taken once, however it is named."""
    make(tmp_path, "a.py")
    assert found(tmp_path / "a.py", tmp_path, tmp_path / "." / "a.py", below=tmp_path) == ["a.py"]


def test_links(tmp_path):
    """Links below a folder are left out; a link that is named is followed."""
    make(tmp_path, "dags/a.py", "elsewhere/b.py")
    (tmp_path / "dags/link.py").symlink_to(tmp_path / "elsewhere/b.py")
    (tmp_path / "dags/elsewhere").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "dags/loop").symlink_to(tmp_path / "dags")
    (tmp_path / "current").symlink_to(tmp_path / "dags")
    assert found(tmp_path / "current", below=tmp_path) == ["current/a.py"]
    assert found(tmp_path / "dags/link.py", below=tmp_path) == ["dags/link.py"]


def test_written(tmp_path):
    """A file is replaced, keeps its permissions, and leaves nothing beside it."""
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    path.chmod(0o750)
    write(path, b"new\r\n")
    assert path.read_bytes() == b"new\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert [*tmp_path.iterdir()] == [path]


def test_written_through_a_link(tmp_path):
    """A link stays a link; what it leads to is written."""
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_not_written(tmp_path):
    """A file that cannot be replaced is as it was, and nothing is left beside it."""
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write(path, "no bytes")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_read_only(tmp_path):
    """A file that nobody may write is an error, even for root."""
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        write(path, b"new")
    assert path.read_bytes() == b"old"
