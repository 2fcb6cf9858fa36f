"""Files that users name."""

import pytest

from genkit.data import own_file
from genkit.errors import DataError, UsageError


def test_own_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").touch()
    assert own_file("rows.csv", "rows").name == "rows.csv"
    assert own_file(".", "a folder", folder=True).samefile(tmp_path)
    for none in (None, ""):
        with pytest.raises(UsageError, match="no file is named; give the path of rows as data.file"):
            own_file(none, "rows")
    with pytest.raises(DataError, match=r"\. is no file; expected rows"):
        own_file(".", "rows")
    with pytest.raises(DataError, match="gone does not exist; expected a folder"):
        own_file("gone", "a folder", folder=True)
