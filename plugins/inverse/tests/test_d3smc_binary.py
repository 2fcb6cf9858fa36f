"""Binary images restored, small."""

import numpy as np
import pytest

import genkit
from genkit.errors import UsageError
from genkit_inverse.datasets.binary import BinaryDigits


def test_bits():
    train, test = BinaryDigits().load()
    assert train.shape == (1397, 8, 8) and test.shape == (400, 8, 8)
    assert 0.3 < train.mean() < 0.5 and set(np.unique(train)) == {0, 1}
    with pytest.raises(UsageError, match="threshold=0"):
        BinaryDigits(threshold=0)


def test_tiny(tmp_path):
    run = genkit.run(genkit.config("inverse.d3smc_binary", "tiny", {}), out=tmp_path / "binary")
    results = run.results
    for name in ("masked_d3smc", "independent"):
        assert 0 <= results[f"error/{name}/hidden"] <= 1 and np.isfinite(results[f"nll/{name}"])
    assert 1 <= results["ess/masked_d3smc"] <= 8
    assert results["log_z/masked_d3smc"] < 0
    # the chain has five steps: the law it has differs from the prior by more than the samples do
    assert results["oracle_tv/masked_d3smc"] < 0.15 and results["oracle_log_z_error/masked_d3smc"] < 0.05
    assert set(run.figures) == {"training", "images", "ess"}


@pytest.mark.parametrize(
    ("options", "says"),
    [({"kernels": ("gaussian",)}, "uniform, masked"), ({"methods": ()}, "d3smc, ancestral, single"),
     ({"steps": 200}, "steps=200"), ({"flip": 0.5}, "flip=0.5"), ({"images": 0}, "images=0")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("inverse.d3smc_binary", "default", options)
