"""The examples of the core run, and show what they say."""

import importlib.util
from pathlib import Path

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
    assert all(0.05 < results[kind] < 0.5 for kind in ("dps", "pigdm", "tmpd"))
    assert (tmp_path / "likelihood_and_guidance.png").is_file()


def test_log_z():
    estimates = example("log_z").main(n=2000)
    assert all(abs(value - 1.8379) < 0.15 for value in estimates.values())
