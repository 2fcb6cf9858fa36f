"""The toy experiment learns what it is asked to."""

import pytest

import genkit


@pytest.mark.parametrize("process", ["edm", "flow"])
def test_mixture_is_learned(tmp_path, process):
    options = {"process": process, "network.width": 64, "steps": 600, "samples": 400, "sampler": "dpmpp_2m"}
    run = genkit.run(genkit.config("core.mixture", "tiny", options), out=tmp_path / "run")
    results = run.results
    # a network that returns zero has loss 1, the exact denoiser the least
    assert results["loss/oracle"] < results["loss/model"] < results["loss/oracle"] + 0.1 * (1 - results["loss/oracle"])
    assert results["outliers/oracle"] < 0.02 and results["outliers/model"] < 0.3
    assert run.figures["samples"].path.is_file()
