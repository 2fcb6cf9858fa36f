"""Files that samples go to."""

import numpy as np
import pytest

from genkit.errors import GenkitError
from genkit.model.request import Csv, Request


def test_a_table_of_samples(tmp_path):
    """A row each sample; of curves a row each point, with what belongs to the curve repeated."""
    writer = Csv(tmp_path / "x.csv")
    writer.write({"samples": np.array([[1, 2.5]], np.float32), "log_w": np.array([-1.0])})
    writer.write({"samples": np.array([[3, 1e-9]], np.float32), "log_w": np.array([0.5])})
    assert writer.close() == "samples (2, 2), log_w (2,)"
    lines = (tmp_path / "x.csv").read_text().split()
    assert lines == ["samples.0,samples.1,log_w", "1,2.5,-1", "3,9.99999972e-10,0.5"]  # float32 keeps its digits
    writer = Csv(tmp_path / "curves.csv")
    writer.write({"z": np.arange(8.0).reshape(2, 2, 2), "converged": np.array([True, False])})
    assert writer.close() == "z (2, 2, 2), converged 1 of 2"
    lines = (tmp_path / "curves.csv").read_text().split()
    assert lines == ["row,point,z.0,z.1,converged", "0,0,0,1,1", "0,1,2,3,1", "1,0,4,5,0", "1,1,6,7,0"]


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    for name, why in (("folder.npz", "it is a folder"), ("file/x.npz", "file is a file")):
        with pytest.raises(GenkitError, match=f"cannot write .*{name}: .*{why}; choose"):
            Request().writer(tmp_path / name)
    Request().writer(tmp_path / "new/folder/x.npz")
    assert not (tmp_path / "new").exists()
