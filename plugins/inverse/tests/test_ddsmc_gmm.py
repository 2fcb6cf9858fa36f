"""The comparison on mixtures, small."""

import numpy as np
import pytest

import genkit
from genkit.errors import GenkitError, UsageError
from genkit.steer import TDS, MCGDiff
from genkit_inverse.experiments import ddsmc_gmm


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = genkit.config("inverse.ddsmc_gmm", "tiny", {})
    return genkit.run(config, out=tmp_path_factory.mktemp("runs") / "gmm")


def test_results(finished):
    methods = ["ddsmc_tweedie", "ddsmc_ode", "mcgdiff", "tds"]
    results = finished.results
    for name in methods:
        for key in (f"sw/{name}/mean", f"sw/{name}/se", f"ess/{name}", f"logz_error/{name}"):
            assert np.isfinite(results[key])
        assert 1 <= results[f"ess/{name}"] <= 16
    assert [results[f"calls/{name}"] for name in methods] == [7, 28, 7, 7]
    assert results["sw/floor/mean"] > 0
    assert results["sw/tds/mean"] < 20  # its default is usable: without a clip particles were thrown to 1e12
    assert 0 < results["prior_std/ddsmc_tweedie"] < results["prior_std/ddsmc_ode"] < 1
    assert set(finished.figures) == {"distances", "samples", "ess"}
    assert (finished.folder / "report.html").exists()


def test_methods_meet_the_same_instances(finished, tmp_path):
    """Leaving methods out changes nothing for those that stay."""
    config = genkit.config("inverse.ddsmc_gmm", "tiny", {"methods": (MCGDiff(),)})
    alone = genkit.run(config, out=tmp_path / "alone")
    for name in ("floor", "mcgdiff"):
        assert alone.results[f"sw/{name}/mean"] == finished.results[f"sw/{name}/mean"]


def test_a_method_that_fails_stops_no_other(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise GenkitError("all weights vanished")

    monkeypatch.setattr(ddsmc_gmm, "posterior", fails)
    run = genkit.run(genkit.config("inverse.ddsmc_gmm", "tiny", {"methods": (TDS(),)}), out=tmp_path / "failed")
    assert run.results["sw/tds/mean"] is None and run.results["ess/tds"] is None
    assert run.results["sw/floor/mean"] > 0
    assert "all weights vanished" in (run.folder / "log.txt").read_text()


def test_peer_table(tmp_path):
    """All methods, and those without weights by the same names."""
    run = genkit.run(genkit.config("inverse.peer_table", "tiny", {}), out=tmp_path / "peers")
    evidence = ("ddsmc_tweedie", "ddsmc_ode", "mcgdiff", "tds")
    for name in (*evidence, "fps", "single", "mmps", "pigdm", "dps", "daps", "ddrm", "dcps", "reddiff", "ess_flow"):
        assert np.isfinite(run.results[f"sw/{name}/mean"])
        assert (run.results[f"logz_error/{name}"] is not None) == (name in evidence)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"methods": ()}, "methods needs a name"), ({"dx": 5}, "even dx"), ({"instances": 0}, "instances=0"),
     ({"steps": 2}, "steps=2")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("inverse.ddsmc_gmm", "default", options)
