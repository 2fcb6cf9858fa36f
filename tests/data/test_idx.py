"""Files of the idx format."""

import gzip

import numpy as np
import pytest

from genkit.data.idx import read_idx
from genkit.errors import DataError


@pytest.mark.parametrize(("code", "kind"), [(8, ">u1"), (11, ">i2"), (13, ">f4")])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_array_comes_back(tmp_path, code, kind, suffix):
    array = np.arange(24, dtype=kind).reshape(2, 3, 4)
    data = bytes([0, 0, code, 3]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    file = tmp_path / f"x{suffix}"
    file.write_bytes(gzip.compress(data) if suffix else data)
    found = read_idx(file)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "no idx header"), (b"PNG.", "no idx header"), (bytes([0, 0, 8, 1, 0, 0, 0, 5, 1, 2]), "2 bytes")],
)
def test_other_files_are_refused(tmp_path, data, says):
    file = tmp_path / "x"
    file.write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_idx(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "absent.gz")
