"""The experiments on graphs, end to end with small networks, and a boundary from a second data set."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit
from genkit.errors import DataError, UsageError
from genkit.experiment import rehearse
from genkit.experiment.config import read_yaml, write_yaml
from genkit.nn import functional
from genkit.testing import check_programs
from genkit_weather import lam
from genkit_weather.data import Series, WeatherData
from genkit_weather.experiments.graph_efm import GraphEFMForecast
from genkit_weather.experiments.graph_lam import GraphLAMForecast, HiLAMForecast
from genkit_weather.experiments.km_lam import KmLAM
from genkit_weather.graphs import Mesh
from genkit_weather.graphs.mesh import grid_nodes
from genkit_weather.host import HostWindow, surrounded
from genkit_weather.networks.graph_lam import GraphLAM

pytestmark = pytest.mark.usefixtures("small_nature")  # which makes the data of these numbers, in its cache
NATURE = {"train": 24, "val": 8, "test": 36, "spinup": 30}
SHORT = {
    "data": "qg_nature",
    **{f"data.{name}": outputs for name, outputs in NATURE.items()},
    "network": "graph_lam",
    "network.mesh.kind": "rect_flat",
    "network.mesh.distance": 2000.0,
    "network.width": 6,
    "network.layers": 1,
    "stages": ((1, 4),),
    "validate": 2,
    "starts": 2,
    "leads": 2,
    "long_leads": 0,
    "batch": 2,
    "baselines": ("persistence",),
}


@pytest.mark.parametrize("experiment", [GraphLAMForecast, HiLAMForecast, GraphEFMForecast, KmLAM])
@pytest.mark.parametrize("preset", ["tiny", "default", "paper"])
def test_configurations_are_read_back(experiment, preset, tmp_path):
    config = experiment.preset(preset)
    path = tmp_path / "config.yaml"
    path.write_text(write_yaml(config, preset, 1))
    assert read_yaml(path) == (config, preset, 1)


@pytest.mark.usefixtures("no_pictures")
def test_graph_lam_trains_in_stages_and_two_devices_give_the_results_of_one(tmp_path):
    config = genkit.config("weather.graph_lam", "tiny", {**SHORT, "stages": ((1, 4), (2, 2)), "lower": {"z_up": -99.0}})
    run = genkit.run(config, out=tmp_path / "a", preset="tiny")
    assert np.isfinite([run.results["rmse/z_up/6h"], run.results["rmse/v_sfc/12h"]]).all()
    assert run.results["persistence.rmse/z_up/6h"] > 0
    again = genkit.load(tmp_path / "a")
    np.testing.assert_array_equal(again.sample(jax.random.key(0), 1), run.sample(jax.random.key(0), 1))
    code = (
        "import jax; from pathlib import Path; from genkit.experiment import Run, read_yaml;"
        "from dataclasses import replace; assert jax.device_count() == 2;"
        f"c, p, s = read_yaml(Path({str(run.folder / 'config.yaml')!r}));"
        "c = replace(c, model=replace(c.model, stages=((1, 4),)), leads=1);"
        f"run = Run(c, Path({str(tmp_path / 'b')!r}), s, may_train=True); c.train(run); c.sample(run)"
    )
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    one, two = (losses(tmp_path / name) for name in "ab")
    assert len(two) == 6 and two == pytest.approx({key: one[key] for key in two}, rel=1e-3, abs=1e-3)


def losses(folder):
    """Of training and validation, by phase and step."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = ("loss", "val/loss")
    return {(row["phase"], row["step"], name): row[name] for row in rows for name in names if name in row}


def test_graph_efm_draws_members(tmp_path):
    options = {**SHORT, "network": "graph_efm", "members": 2, "beta": (1.0,), "crps": (1.0,), "starts": 1}
    del options["network.layers"]
    run = genkit.run(genkit.config("weather.graph_efm", "tiny", options), out=tmp_path / "a", preset="tiny")
    assert run.results["crps/z_up/6h"] > 0 and run.results["spread/z_up/6h"] > 0
    assert {"scores", "maps_z_up", "plume", "ranks", "spectra", "distance"} <= set(run.figures)
    with pytest.raises(UsageError, match="as many values of beta"):
        genkit.config("weather.graph_efm", "tiny", {"beta": (1.0, 1.0)})


def test_the_crps_of_a_latent_variable_would_run_on_gpus_and_tpus():
    """Preset tiny, whose programs are looked at for all experiments, has no stage with it."""
    found = rehearse(genkit.config("weather.graph_efm", "tiny", {"crps": (1.0,)}), stages=("prepare", "train"))
    assert found.error is None and found.steps
    check_programs(found.seen.programs)


@pytest.mark.usefixtures("no_pictures")
def test_choices_of_a_boundary_are_compared(tmp_path):
    options = {**SHORT, "ablate": True, "widths": (), "window.past": 0, "window.future": 0, "window.encoding": 4}
    options |= {f"host.nature.{name}": outputs for name, outputs in NATURE.items()}
    options["baselines"] = ("persistence", "harmonic")  # the second needs a frame, and is left out
    run = genkit.run(genkit.config("weather.km_lam", "tiny", options), out=tmp_path / "a", preset="tiny")
    for key in ("rmse", "border.rmse", "overlap.rmse", "overlap.border.rmse"):
        assert np.isfinite(run.results[f"{key}/t_sfc/12h"]), key
    assert run.results["rmse/t_sfc/12h"] != run.results["overlap.rmse/t_sfc/12h"]
    assert "ablation" in run.figures
    with pytest.raises(DataError, match="no point within 1.0 km"):
        genkit.run(genkit.config("weather.km_lam", "tiny", {**options, "widths": (1.0,)}), out=tmp_path / "b")
    assert not (tmp_path / "b" / "checkpoints").exists()  # refused before anything was trained
    with pytest.raises(UsageError, match="needs a data set around"):
        genkit.config("weather.km_lam", "tiny", {"host": "none"})
    with pytest.raises(UsageError, match="without a frame there is no guess"):
        genkit.config("weather.km_lam", "tiny", {"formulation.guess": "harmonic", "formulation.future": True})


def weather(side, spacing, step, count=24, **changes):
    rng = np.random.default_rng(side)
    time = np.datetime64("2020-01-01T00", "s") + np.arange(count) * np.timedelta64(step, "h")
    state = rng.normal(size=(count, side, side, 1)).astype(np.float32)
    series = (Series(state, np.zeros((count, 1, 1, 0), np.float32), time),)
    place = spacing * (np.arange(side) - (side - 1) / 2)
    data = WeatherData(
        series, series, series, np.zeros((side, side, 0)), (0, 0), ("a",), ("1",), ("a",), (), (), float(step),
        x=place, y=place, source=f"grid of {side}",
    )  # fmt: skip
    return replace(data, **changes)


def test_forecasts_take_the_boundary_of_their_own_time():
    window = HostWindow(width=60.0, past=1, future=1, encoding=4)
    data = surrounded(weather(6, 10.0, 1), weather(7, 20.0, 2, 12), window)
    assert data.around is not None
    inside, outside = grid_nodes(data)
    assert len(inside) == 36 and len(outside) == len(data.around.points) == 49 - 9
    formulation = lam.Formulation("persistence", fill=False, future=False)
    domain = lam.domain_of(data, formulation)
    sizes = replace(formulation.sizes(data.layout), boundary=data.around.channels)
    network = GraphLAM(mesh=Mesh("rect_flat", distance=40.0), width=6, layers=1)
    graph = network.over(data)
    assert graph.boundary == len(outside)
    f, params = functional(network.build(nnx.Rngs(0), sizes, graph))
    model = lam.GraphForecaster(f, params, graph, domain)
    starts = data.around.starts("test", 0, 3)[:2]
    told = data.around.windows("test", 0, starts, 3)
    outlook = lam.Outlook.build(domain, data.test[0], starts, 3, told)
    pieces = list(lam.rollout(jax.random.key(0), model, outlook, 1, chunk=1, blocks=2))
    states = np.concatenate([s for _, s in pieces], 1)[:, :, 0]
    before, prev = jnp.asarray(outlook.before), jnp.asarray(outlook.prev)
    nothing = jnp.zeros((2, 3, 0, 1))

    @jax.jit
    def step(before, prev, values, deltas):
        inputs = lam.Inputs(prev, before, nothing, jnp.zeros((2, 1, 1, 0)), None, (values, deltas))
        return model.predict(inputs)[0]

    for lead in range(3):
        x = step(before, prev, told.values[:, lead], told.deltas[:, lead])
        np.testing.assert_allclose((states[:, lead] - domain.mean) / domain.std, x, rtol=1e-4, atol=1e-4)
        before, prev = prev, x
    changed = step(before, prev, told.values[:, 0] + 1, told.deltas[:, 0])
    assert float(jnp.abs(changed - step(before, prev, told.values[:, 0], told.deltas[:, 0])).min()) > 0
    examples = lam.Windows(data.train, domain, 3, data.around).take(np.array([0, 1]))
    np.testing.assert_array_equal(examples.given.outside[0], told.values)


def test_boundaries_that_cannot_be_used_are_refused():
    with pytest.raises(DataError, match="does not divide"):
        surrounded(weather(6, 10.0, 2), weather(7, 20.0, 3), HostWindow())
    with pytest.raises(DataError, match="no statistics are stored"):
        surrounded(weather(6, 10.0, 1), weather(7, 20.0, 2, train=()), HostWindow())
    data = surrounded(weather(6, 10.0, 1), weather(7, 20.0, 1), HostWindow(width=30.0))
    with pytest.raises(DataError, match="no series is long enough for 30 steps.*boundary data of grid of 7"):
        lam.Windows(
            data.train, lam.domain_of(data, lam.Formulation("persistence", False, True, False)), 30, data.around
        )


def test_two_data_sets_without_common_coordinates_are_projected():
    degrees = np.linspace(-1.0, 1.0, 3)
    lat, lon = (60 + degrees)[:, None] + 0 * degrees, degrees + 0 * degrees[:, None]
    area = weather(3, 1.0, 1, lat=lat, lon=lon)
    wide = weather(3, 1.0, 1, lat=60 + 3 * (lat - 60), lon=3 * lon, x=None, y=None)
    data = surrounded(area, wide, HostWindow(width=500.0))
    inside, outside = grid_nodes(data)
    assert np.abs(inside[4]).max() < 2  # the middle of the area, but for its curvature
    assert outside[1][1] == pytest.approx(-3 * 111.19, abs=2) and abs(outside[1][0]) < 1e-6
    assert inside[5][0] == pytest.approx(111.19 * 0.5, rel=2e-3)
    planes = replace(area, crs="EPSG:32633"), replace(wide, x=area.x, y=area.y, crs="EPSG:3035")
    np.testing.assert_array_equal(grid_nodes(surrounded(*planes, HostWindow(width=500.0)))[1], outside)
