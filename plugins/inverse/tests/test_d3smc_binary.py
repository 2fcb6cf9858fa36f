"""Binary images restored, small."""

import jax
import numpy as np
import pytest

import genkit
from genkit.errors import DataError, UsageError
from genkit_inverse.datasets.binary import BinaryDigits
from genkit_inverse.images import Bits


def test_bits():
    data = BinaryDigits().load()
    train, test = data.train, data.test
    assert train.shape == (1397, 8, 8) and test.shape == (400, 8, 8)
    assert 0.3 < train.mean() < 0.5 and set(np.unique(train)) == {0, 1}
    with pytest.raises(UsageError, match="threshold=0"):
        BinaryDigits(threshold=0)
    with pytest.raises(DataError, match=r"test images have shape \(2, 8, 7\)"):
        Bits(train, np.zeros((2, 8, 7), int))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return genkit.run(genkit.config("inverse.d3smc_binary", "tiny", {}), out=tmp_path_factory.mktemp("runs") / "binary")


def test_tiny(tiny):
    results = tiny.results
    for name in ("masked_d3smc", "independent"):
        assert 0 <= results[f"error/{name}/hidden"] <= 1 and np.isfinite(results[f"nll/{name}"])
    assert 1 <= results["ess/masked_d3smc"] <= 8
    assert results["log_z/masked_d3smc"] < 0
    # the chain has five steps: the law it has differs from the prior by more than the samples do
    assert results["oracle_tv/masked_d3smc"] < 0.15 and results["oracle_log_z_error/masked_d3smc"] < 0.05
    assert set(tiny.figures) == {"training", "images", "ess"}


def test_its_prior_is_drawn_from(tiny, tmp_path):
    """By itself in any chunks; given bits that cannot be wrong it keeps them; a mask says which were seen."""
    model = genkit.load_model(tiny.folder)
    x = model.sample(jax.random.key(0), 5, steps=4)
    (part, _) = model.request(steps=4)(model, jax.random.key(0), 5, 3)
    assert x.shape == (5, 8, 8) and set(np.unique(x)) == {0, 1}
    np.testing.assert_array_equal(part["samples"], x[:3])
    y, seen = BinaryDigits().load().test[0], np.arange(64).reshape(8, 8) < 32
    np.savez(tmp_path / "y.npz", y=y, seen=seen)
    found = model.sample(jax.random.key(0), 3, steps=4, observation=tmp_path / "y.npz", particles=4)
    assert (found["samples"][:, seen] == y[seen]).all() and found["log_z"].shape == (3,)
    np.save(tmp_path / "wide.npy", y[:, :7])
    for options, says in (
        ({"observation": tmp_path / "wide.npy"}, r"wide.npy has y of shape \(8, 7\); expected .* y \(8, 8\)"),
        ({"flip": 0.1}, "give --observation FILE too"), ({"observation": tmp_path / "no.npy"}, "cannot read .*no.npy"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=says):
            model.sample(jax.random.key(0), 1, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"kernels": ("gaussian",)}, "uniform, masked"), ({"methods": ()}, "d3smc, ancestral, single"),
     ({"train_steps": 0}, "train_steps=0"), ({"steps": 200}, "steps=200"), ({"flip": 0.5}, "flip=0.5"),
     ({"images": 0}, "images=0")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("inverse.d3smc_binary", "default", options)
