"""`genkit weather-forecast`: the run's own forecast from files alone, and what does not fit is named."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import genkit
from genkit.cli import main
from genkit_weather.datasets.qg_host import QGHost
from genkit_weather.datasets.qg_nature import QGNature
from genkit_weather.forecasts import read
from genkit_weather.from_xarray import to_xarray

TINY = {
    "network.base": 8, "network.multipliers": (1,), "network.blocks": 1, "network.embedding": 32, "sampler.steps": 3,
    "steps": 4, "validate": 4, "starts": 3, "leads": 3, "members": 3, "baselines": (), "long_leads": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run, its model copied elsewhere, and the files of its second start."""
    folder = tmp_path_factory.mktemp("forecasting")
    run = genkit.run(genkit.config("weather.diffusion_lam", "tiny", TINY), out=folder / "run")
    data = run.config.weather(run)
    number, start = run.config.chosen(data)[1]
    states = to_xarray(data, data.test[number])
    states.isel(time=slice(start - 1, start + 1)).to_netcdf(folder / "initial.nc")
    states.isel(time=slice(start, start + 4)).to_netcdf(folder / "boundary.nc")
    states.to_netcdf(folder / "truth.nc")
    shutil.copytree(run.folder / "model", folder / "elsewhere")
    return run, folder


def forecast(folder, *more, model="elsewhere", **files):
    """Exit code of the command."""
    names = {"initial": "initial.nc", "boundary": "boundary.nc"} | files
    words = [w for name, file in names.items() for w in (f"--{name}", str(folder / file))]
    out = [] if "--out" in more else ["--out", str(folder / "out.nc")]
    return main(["weather-forecast", str(folder / model), *words, *out, "--leads", "3", "--members", "3", *more])


def test_the_forecast_of_the_run_from_files_alone(made, capsys, monkeypatch):
    run, folder = made
    monkeypatch.setattr(QGNature, "load", None)  # the data of the training are gone
    assert forecast(folder, "--truth", str(folder / "truth.nc")) == 0
    assert "3 members from" in (out := capsys.readouterr().out) and "RMSE t_sfc [1]" in out
    with read(folder / "out.nc") as alone, read(run.folder / "forecasts.nc") as own:
        assert alone["z_up"].dims == ("start", "lead", "member", "y", "x")
        own = own.isel(start=[1])
        assert list(alone.coords) == list(own.coords) and (alone.start.values == own.start.values).all()
        for name in own.data_vars:
            np.testing.assert_allclose(alone[name], own[name], rtol=1e-5, atol=1e-5)
    assert forecast(folder, "--chunk", "1", "--out", str(folder / "out.zarr"), model="run") == 0
    with read(folder / "out.zarr") as chunked, read(folder / "out.nc") as alone:
        np.testing.assert_allclose(chunked["t_mid"], alone["t_mid"], rtol=1e-4, atol=1e-5)


def test_only_the_frame_of_the_boundary_is_read(made):
    run, folder = made
    model = genkit.load_model(run.folder)
    with xr.open_dataset(folder / "boundary.nc") as file:
        blind = file.load()
    for name in model.area.names:
        blind[name][:, 4:-4, 4:-4] = np.nan
    blind.to_netcdf(folder / "blind.nc")
    assert forecast(folder) == forecast(folder, "--out", str(folder / "b.nc"), boundary="blind.nc") == 0
    with read(folder / "b.nc") as one, read(folder / "out.nc") as two:
        xr.testing.assert_equal(one.load(), two.load())


def test_warmer_data_do_not_change_a_trained_model(made):
    run, _ = made
    data = run.config.weather(run)
    warmer = replace(data, train=tuple(replace(s, state=s.state + 8) for s in data.train))
    number, start = run.config.chosen(data)[1]
    outlooks = [run.model.outlook(d, d.test[number], [start], 3) for d in (data, warmer)]
    for one, two in zip(*map(jax.tree.leaves, outlooks), strict=True):
        np.testing.assert_array_equal(one, two)


def changed(folder, source, name, change):
    """A file with a change."""
    with xr.open_dataset(folder / source) as file:
        change(file.load()).to_netcdf(folder / name)
    return name


@pytest.mark.parametrize(
    "which, change, message",
    [
        ("boundary", lambda f: f.isel(time=slice(0, 3)), "lacks .*; the forecast needs .* to"),
        ("boundary", lambda f: f.drop_vars("t_mid"), "has no variable t_mid; the model needs z_up"),
        ("boundary", lambda f: f.drop_vars("mean_wind"), "forcing mean_wind is in no file at .*--forcing"),
        ("initial", lambda f: f.isel(time=slice(0, 1)), "1 times.*expected at least 2"),
        ("initial", lambda f: f.assign(t_mid=f.t_mid.assign_attrs(units="degC")), "t_mid is in 'degC', .* in '1'"),
        ("initial", lambda f: f.isel(x=slice(0, 20)), "has 32 x 20 cells, the model 32 x 32"),
        ("initial", lambda f: f.assign_coords(x=f.x + 50), "lies elsewhere .*: x differs by up to 50"),
        ("initial", lambda f: f.where(f.x > f.x[10]), "z_up is not finite at"),
    ],
)
def test_files_that_do_not_fit_are_named_in_one_line(made, which, change, message, capsys):
    folder = made[1]
    name = changed(folder, f"{which}.nc", "changed.nc", change)
    capsys.readouterr()
    out = folder / "none.nc"
    assert forecast(folder, "--out", str(out), **{which: name}) == 1
    import re

    error = capsys.readouterr().err
    assert re.search(message, error) and "changed.nc" in error or "forcing" in error
    assert error.count("\n") == 1 and not out.exists() and not list(folder.glob(".*none.nc"))


def test_other_models_and_paths_are_refused(made, tmp_path, capsys):
    _, folder = made
    for words, message in (
        (["--out", "x.grib"], "--out x.grib: expected a file that ends in .nc"),
        (["--leads", "0"], "--leads 0 is too few"),
    ):
        assert forecast(folder, *words) == 2
        assert message in capsys.readouterr().err
    assert forecast(folder, initial="gone.nc") == 1
    assert "cannot read" in capsys.readouterr().err
    from genkit_weather.models import WeatherModel

    assert main(["sample", str(folder / "elsewhere")]) == 2
    assert "use `genkit weather-forecast`" in capsys.readouterr().err and WeatherModel.instead


def test_a_second_data_set_as_the_boundary(tmp_path):
    options = {
        "data": "qg_nature", "network": "graph_lam", "network.mesh.kind": "rect_flat", "network.mesh.distance": 2000.0,
        "network.width": 6, "network.layers": 1, "stages": ((1, 2),), "validate": 2, "starts": 2, "leads": 2,
        "long_leads": 0, "batch": 2, "baselines": (), "window.encoding": 4,
    }  # fmt: skip
    run = genkit.run(genkit.config("weather.km_lam", "tiny", options), out=tmp_path / "run")
    data = run.config.weather(run)
    number, start = run.config.chosen(data)[1]
    states = to_xarray(data, data.test[number])
    states.isel(time=slice(start - 1, start + 1)).to_netcdf(tmp_path / "initial.nc")
    states[list(data.forcing_names)].isel(time=slice(start - 1, start + 3)).to_netcdf(tmp_path / "forcing.nc")
    host = data.around.data
    other = next(s for s in host.test if s.time[0] <= data.test[number].time[start])
    to_xarray(host, other).to_netcdf(tmp_path / "boundary.nc")
    words = [w for name in ("initial", "boundary", "forcing") for w in (f"--{name}", str(tmp_path / f"{name}.nc"))]
    out = tmp_path / "out.nc"
    assert main(["weather-forecast", str(run.folder), *words, "--leads", "2", "--members", "1", "--out", str(out)]) == 0
    with read(out) as alone, read(run.folder / "forecasts.nc") as own:
        for name in own.data_vars:
            np.testing.assert_allclose(alone[name], own.isel(start=[1])[name], rtol=1e-5, atol=1e-5)
    assert QGHost.preset("tiny") == run.config.host
