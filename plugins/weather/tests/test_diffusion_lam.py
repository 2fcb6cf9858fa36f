"""The whole experiment, on one line of Lorenz-96 sites with a small network."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import yaml

import genkit
from genkit.errors import DataError, UsageError
from genkit.train import Interrupted
from genkit_weather.data import statistics
from genkit_weather.experiments.diffusion_lam import DiffusionLAM
from genkit_weather.forecasting.files import read

SMALL = {
    "data": "l96",
    "network.base": 8,
    "network.multipliers": (1,),
    "network.blocks": 1,
    "network.embedding": 32,
    "network.patch": 1,
    "sampler.steps": 4,
    "starts": 3,
    "leads": 3,
    "members": 3,
    "steps": 40,
    "validate": 20,
    "baselines": ("climatology", "persistence", "harmonic", "ar2"),
}


def small(**options):
    """The small configuration, with changes."""
    return genkit.config("weather.diffusion_lam", "tiny", {**SMALL, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    return genkit.run(small(), seed=3, out=tmp_path_factory.mktemp("runs") / "a", preset="tiny")


def test_leaves_results_forecasts_and_report(run):
    metrics = ("rmse", "crps", "ssr", "spread", "bias", "mae")
    for key in [f"{m}/value/{lead}" for m in metrics for lead in ("6h", "12h", "18h")]:
        assert np.isfinite(run.results[key]), key
    for name in ("climatology", "persistence", "harmonic", "ar2"):
        assert run.results[f"{name}.rmse/value/6h"] > 0
    with read(run.folder / "forecasts.nc") as forecasts:
        assert forecasts["value"].dims == ("start", "lead", "member", "y", "x")
        assert forecasts.attrs["Conventions"].startswith("CF-")
    page = (run.folder / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "http" not in page.split("<style>")[0]
    assert {"scores", "training", "ranks"} <= set(run.figures)
    assert json.loads((run.folder / "status.json").read_text())["state"] == "done"


@pytest.mark.usefixtures("no_pictures")
def test_replayed_configuration_gives_the_same_configuration_and_results(run, tmp_path):
    from genkit.experiment import read_yaml

    config, preset, seed = read_yaml(run.folder / "config.yaml")
    assert config == run.config and preset == "tiny" and seed == 3
    again = genkit.run(config, seed=seed, out=tmp_path / "b", preset=preset)
    assert again.results == run.results


@pytest.mark.usefixtures("no_pictures")
def test_interrupted_training_ends_like_an_uninterrupted_one(run, tmp_path, monkeypatch):
    import importlib

    module = importlib.import_module("genkit.train.learn")

    batches = module.batches

    def stopping(*args, **kwargs):
        made = batches(*args, **kwargs)
        take = made.source.take

        def counted(rows):
            counted.calls += 1
            if counted.calls == 25:
                os.kill(os.getpid(), signal.SIGTERM)
            return take(rows)

        counted.calls = 0
        made.source.take = counted
        return made

    monkeypatch.setattr(module, "batches", stopping)
    with pytest.raises(Interrupted):
        genkit.run(small(), seed=3, out=tmp_path / "c", preset="tiny")
    assert json.loads((tmp_path / "c" / "status.json").read_text())["state"] == "interrupted"
    monkeypatch.setattr(module, "batches", batches)
    resumed = genkit.run(small(), seed=3, out=tmp_path / "c", resume=True, preset="tiny")
    assert resumed.results == run.results


def test_loaded_run_samples_in_a_fresh_process(run, tmp_path):
    code = (
        f"import genkit, jax, numpy; r = genkit.load({str(run.folder)!r});"
        f"numpy.save({str(tmp_path / 'x.npy')!r}, r.sample(jax.random.key(5), 2))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    there, here = np.load(tmp_path / "x.npy"), _key_sample(run)
    assert there.shape == (2, 3, 1, 32, 1) and np.isfinite(there).all()
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-4)


def _key_sample(run):
    import jax

    return genkit.load(run.folder).sample(jax.random.key(5), 2)


def test_four_devices_give_the_results_of_one(run, tmp_path):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4"}
    code = (
        f"import genkit; from genkit.experiment import read_yaml;"
        f"from genkit_weather.experiments.forecast import ForecastExperiment as F; F.report = lambda *_: None;"
        f"c, p, s = read_yaml(__import__('pathlib').Path({str(run.folder / 'config.yaml')!r}));"
        f"genkit.run(c, seed=s, out={str(tmp_path / 'd')!r}, preset=p)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    four = json.loads((tmp_path / "d" / "results.json").read_text())
    for name, value in run.results.items():
        assert four[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_members_do_not_depend_on_chunks(run):
    import jax

    wide, narrow = (genkit.load(run.folder) for _ in range(2))
    narrow.config = dataclasses.replace(narrow.config, chunk=2)
    key = jax.random.key(1)
    np.testing.assert_allclose(narrow.sample(key, 3), wide.sample(key, 3), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("no_pictures")
def test_two_stages_and_zarr(tmp_path):
    config = small(two_stage=True, format="zarr", steps=4, validate=4, long_leads=5)
    done = genkit.run(config, out=tmp_path / "e")
    assert done.results["growth/value/30h"] > 0 and (done.folder / "long_forecasts.zarr").is_dir()
    assert np.isfinite(done.results["rmse/value/6h"])
    assert (done.folder / "checkpoints" / "mean").is_dir() and (done.folder / "forecasts.zarr").is_dir()


def test_another_configuration_is_refused_by_name(run):
    with pytest.raises(UsageError, match="steps: 40 -> 41"):
        genkit.run(small(steps=41), seed=3, out=run.folder, resume=True)
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["options"]["steps"] == 40


@pytest.mark.parametrize(
    "options, message",
    [
        ({"members": 0}, "members=0"),
        ({"baselines": ("ridges",)}, "ridges"),
        ({"sigma_data": (-1.0,)}, "sigma_data"),
        ({"batch": 8, "accumulate": 3}, "accumulate=3"),
    ],
)
def test_impossible_options_are_one_clear_line(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        small(**options)
    assert "\n" not in str(caught.value)


def test_a_model_knows_its_normalisation_and_its_layout(run):
    model = genkit.load_model(run.folder)
    data = run.config.data.load()
    assert model.area.names == data.names and model.area.grid == data.grid
    np.testing.assert_array_equal(model.domain.mean, statistics(data).mean)
    assert model.sampler == run.config.model.sampler and str(model.parameters) in repr(model).replace(",", "")


def test_data_that_a_model_was_not_trained_for_are_refused(run, tmp_path):
    with pytest.raises(DataError, match="has names=.*the model .* was trained with .*value"):
        genkit.run(small(model=run.folder, data="synthetic_advection"), out=tmp_path / "g")


@pytest.mark.usefixtures("no_pictures")
def test_fine_tuning_goes_on_from_the_weights_and_keeps_the_statistics(run, tmp_path):
    further = genkit.run(small(model=run.folder, **{"model.finetune": 2, "data.seed": 5}), out=tmp_path / "f")
    before, after = genkit.load_model(run.folder), genkit.load_model(further.folder)
    np.testing.assert_array_equal(after.domain.mean, before.domain.mean)
    pairs = zip(*(jax.tree.leaves(m.forecaster.denoiser.params) for m in (before, after)), strict=True)
    moved = [float(np.abs(np.asarray(a) - b).max()) for a, b in pairs]
    assert 0 < max(moved) < 0.1  # two small steps


def test_published_configuration_has_the_published_sizes():
    plan = DiffusionLAM.preset("paper").plan()
    assert plan["output"] == "(248, 218, 17)"
    assert "9720 cells" in plan["conditioning"]
    assert re.match(r"about [1-9]\d*\.\d\d GB in training", plan["memory"])
    plan = DiffusionLAM.preset("tiny").plan()
    assert re.match(r"about [1-9][\d.]* MB in training .*, [1-9][\d.]* MB in sampling", plan["memory"])
