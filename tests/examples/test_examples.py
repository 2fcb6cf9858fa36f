"""The examples of the core run, and show what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest


def example(name):
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_mixture_samplers(tmp_path):
    distances = example("mixture_samplers").main(tmp_path / "run", n=500, steps=600)
    assert len(distances) == 6 and max(distances.values()) < 0.1
    assert distances["dpmpp_2s"] < distances["heun"]  # Heun spreads too widely at few steps
    assert (tmp_path / "run" / "mixture_samplers.png").is_file()


@pytest.mark.slow
def test_likelihood_and_guidance(tmp_path):
    results = example("likelihood_and_guidance").main(tmp_path, n=1000)
    assert results["log_p"] < 1e-3  # the prior of the flow forgets the mean of the data, against 1000
    assert all(0.05 < results[kind] < 0.5 for kind in ("pigdm", "mmps"))
    assert (tmp_path / "likelihood_and_guidance.png").is_file()


@pytest.mark.slow
def test_latent_posterior(tmp_path):
    errors = example("latent_posterior").main(tmp_path, n=500)
    assert errors["ESSFlow"] < 0.08 and errors["TDS"] < 0.15
    assert (tmp_path / "latent_posterior.png").is_file()


@pytest.mark.slow
def test_graphical_models():
    """Each estimate beside what is exact, or beside another estimator."""
    module = example("graphical_models")
    _, estimate, exact = module.discrete()
    assert abs(estimate - exact) < 0.05
    estimate, exact, field = module.counts()
    assert abs(estimate - exact) < 0.05 and field[0] > field[2]
    y = np.random.default_rng(0).normal(size=6)
    (plain, quasi, learned), path, state, log_z = module.volatility(y)
    assert abs(plain - quasi) < 0.3 and abs(learned - quasi) < 0.1
    assert path.shape == (5,) and log_z.shape == (6,) and np.isfinite(log_z).all()


def test_log_z():
    estimates = example("log_z").main(n=2000)
    assert all(abs(value - 1.8379) < 0.15 for value in estimates.values())
