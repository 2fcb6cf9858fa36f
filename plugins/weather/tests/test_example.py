"""The example of own data and an own network runs, with fewer steps."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "own_data.py"


@pytest.mark.slow
def test_own_data_from_a_netcdf_file_and_own_network(tmp_path):
    spec = importlib.util.spec_from_file_location("own_data", EXAMPLE)
    assert spec and spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    few = {"steps": 4, "validate": 4, "starts": 2, "leads": 2, "members": 2, "sampler.steps": 3}
    results = example.main(tmp_path, network=example.OwnNetwork(width=8), **few)
    for name in ("rmse/t2m/6h", "crps/v/12h", "persistence.rmse/t2m/12h"):
        assert np.isfinite(results[name])
