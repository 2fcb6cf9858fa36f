"""`weather.cef` and `weather.crps_lam` end to end, on one line of Lorenz-96 sites with a frame."""

import os
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import genkit
from genkit.errors import UsageError
from genkit_weather.experiments.coherence import lead_correlation, step_ratio
from genkit_weather.forecasting import read

NETWORK = {
    "data": "l96",
    "data.train": 6,
    "network.base": 8,
    "network.multipliers": (1,),
    "network.blocks": 1,
    "network.embedder": 8,
    "network.embedding": 16,
    "network.patch": 1,
    "network.padding": ("zero", "zero"),
    "network.noise_skip": 0,
    "members": 3,
    "validate": 3,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """make(experiment, options): a run without the pictures that all forecasts have, which other tests look at."""

    def make(experiment, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("genkit_weather.experiments.summary.report", lambda *_: None)
            config = genkit.config(experiment, "tiny", {**NETWORK, **options})
            return genkit.run(config, seed=1, out=tmp_path_factory.mktemp("runs") / "run", preset="tiny")

    return make


@pytest.fixture(scope="module")
def cef(runs):
    options = {"steps": 6, "T_it": 12.0, "starts": 2, "leads": 4, "sampler.steps": 4, "compare": ("ar_T_it",)}
    return runs("weather.cef", **options, ci=24.0, baselines=("persistence",))


@pytest.fixture(scope="module")
def crps_lam(runs):
    options = {"starts": 3, "leads": 3, "long_leads": 6, "latent": 4, "stages": ((2, 3),), "score.spectral": 0.1}
    return runs("weather.crps_lam", **options, baselines=("frame_regression",))


def test_results_of_continuous_ensembles(cef):
    r = cef.results
    scored = (
        "rmse/value/6h",
        "crps/value/24h",
        "ar12.rmse/value/12h",
        "ou.rmse/value/12h",
        "independent.crps/value/6h",
    )
    for key in (*scored, "persistence.rmse/value/6h"):
        assert np.isfinite(r[key]), key
    assert "ar12.rmse/value/6h" not in r and "ou.rmse/value/18h" not in r
    assert r["calls/arci"] == r["calls/ar12"] == 2 * 7  # four levels of Heun, twice a day
    assert r["correlation/shared/value"] > r["correlation/ou/value"] > r["correlation/independent/value"]
    assert {"noises", "coherence", "systems"} <= set(cef.figures)
    with read(cef.folder / "ar12.nc") as file:
        assert file["lead"].values.tolist() == [12, 24]
    with read(cef.folder / "forecasts.nc") as file:
        assert file["lead"].values.tolist() == [6, 12, 18, 24]
        first, second = (file["value"].sel(lead=lead).values for lead in (6, 12))
    with read(cef.folder / "independent.nc") as file:  # the first lead has the same noise, the next another
        assert file["lead"].values.tolist() == [6, 12]
        np.testing.assert_allclose(file["value"].sel(lead=6), first, atol=1e-5)
        assert np.abs(file["value"].sel(lead=12).values - second).max() > 0.1


def test_members_are_those_of_any_machine(cef, crps_lam, tmp_path):
    """As many particles as the runs have, whose programs are there; `test_cef` divides them in chunks."""
    here, starts = [], [[3, 9], [3, 9, 20]]
    for run, some in zip((cef, crps_lam), starts, strict=True):
        model, data = genkit.load_model(run.folder), run.config.data.load()
        pieces = model.forecast(jax.random.key(2), model.outlook(data, data.test[0], some, 4), 3)
        here.append(np.concatenate([x for _, x in pieces], 1))
    code = (
        "import genkit, jax, numpy as np; assert jax.device_count() == 4;"
        "from genkit_weather.datasets import L96;"
        f"data = {cef.config.data!r}.load();"
        f"models = map(genkit.load_model, {[str(run.folder) for run in (cef, crps_lam)]!r});"
        f"outlooks = ((m, m.outlook(data, data.test[0], some, 4)) for m, some in zip(models, {starts}));"
        "every = [[x for _, x in m.forecast(jax.random.key(2), outlook, 3)] for m, outlook in outlooks];"
        f"np.savez({str(tmp_path / 'x.npz')!r}, *(np.concatenate(x, 1) for x in every))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "JAX_NUM_CPU_DEVICES": "4"})
    with np.load(tmp_path / "x.npz") as there:
        for name, found in zip(there.files, here, strict=True):
            np.testing.assert_allclose(there[name], found, rtol=1e-4, atol=1e-4)


def test_leads_of_a_trained_model_may_be_fewer_but_no_others(cef):
    restored = genkit.config("weather.cef", "tiny", {"model": cef.folder, "data": "l96", "delta": 12.0})
    assert restored.model.delta == 12 and restored.model.T_it == 12
    with pytest.raises(UsageError, match="lag 12.0: .* was trained with 6.0, which stays"):
        replace(restored.model, lag=12.0).check_restored()


def test_crps_lam_trains_by_rollouts(crps_lam):
    results = crps_lam.results
    assert np.isfinite([results[k] for k in ("rmse/value/6h", "crps/value/18h", "ssr/value/18h")]).all()
    assert results["growth/value/36h"] > 0 and 0 <= results["memory/value"] <= 36
    twice = [crps_lam.sample(jax.random.key(0), 9) for _ in range(2)]  # the program of its 3 starts and members
    np.testing.assert_array_equal(*twice)
    assert np.abs(twice[0][0] - twice[0][1]).max() > 0


def test_a_study_of_other_models_or_times_is_refused():
    for options, message in [
        ({"lead_chunk": 0}, "lead_chunk=0 is too few"),
        ({"model": "diffusion"}, "needs the recipe cef, not Diffusion"),
        ({"host": "qg_host", "window.past": 2}, "window is for models on graphs"),
        ({"ci": 0.0}, "ci=0 must be hours above 0"),
    ]:
        with pytest.raises(UsageError, match=message):
            genkit.config("weather.cef", "tiny", options)


def test_steps_and_correlations_of_known_members():
    """Truth rises by 1 a step, members by 2 with what is theirs alone: dX 2, and correlation 1."""
    t, own = np.arange(1.0, 4)[None, :, None, None, None], np.array([-1.0, 0, 1])[None, None, :, None, None]
    cells = np.ones((1, 1, 1, 2, 2))
    coords = {"start": [np.datetime64("2001-01-01", "ns")], "lead": [6.0, 12, 18]}
    dims = ("start", "lead", "member", "y", "x")
    members = xr.Dataset(
        {"a": (dims, 2 * t * cells + 0.1 * own), "b": (dims, 2 * t * cells + 0.1 * own * (-1) ** t)}, coords
    )
    truth = xr.Dataset({n: (("start", "lead", "y", "x"), (t * cells)[:, :, 0]) for n in "ab"}, coords)
    first = xr.Dataset({n: (("start", "y", "x"), np.zeros((1, 2, 2))) for n in "ab"}, {"start": coords["start"]})
    assert step_ratio(members, truth, first)["a"] == pytest.approx(2)
    found = lead_correlation(members)
    assert found["a"] == pytest.approx(1) and found["b"] == pytest.approx(-1)
