"""Baselines on processes whose best forecast is known."""

from dataclasses import replace

import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_weather import lam
from genkit_weather.baselines import (
    AR2,
    BASELINES,
    ENSEMBLES,
    Climatology,
    ClimatologyMean,
    FrameRegression,
    Oracle,
    Ridge,
)
from genkit_weather.baselines.linear import Components
from genkit_weather.data import Series, WeatherData
from genkit_weather.data import truth as lead_states

GRID = (6, 7)


def data_of(states, hours=6, frame=(1, 1), **changes):
    """Splits from three arrays (T, 6, 7, V)."""
    splits = {}
    for name, state in zip(("train", "val", "test"), states, strict=True):
        time = np.datetime64("2001-01-01T00", "s") + np.arange(len(state)) * np.timedelta64(hours, "h")
        splits[name] = (Series(state.astype(np.float32), np.zeros((len(state), 1, 1, 0), np.float32), time),)
    names = tuple("abcd"[: states[0].shape[-1]])
    fields = {
        **splits,
        "static": np.zeros((*GRID, 0), np.float32),
        "frame": frame,
        "names": names,
        "units": names,
        "long_names": names,
        "forcing_names": (),
        "static_names": (),
        "step_hours": float(hours),
        "diurnal": True,
    }
    return WeatherData(**{**fields, **changes})


def noise(seed, length, v=2):
    return np.random.default_rng(seed).standard_normal((length, *GRID, v))


@pytest.fixture
def data():
    return data_of([noise(0, 80), noise(1, 5), noise(2, 20)])


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"oracle"}))
def test_every_baseline_has_the_same_form(data, name):
    forecast = BASELINES[name]().fit(data)
    series = data.test[0]
    out = forecast(series, [1, 5, 9], [1, 3])
    assert out.shape[:2] == (3, 2) and out.shape[3:] == (*GRID, 2) and out.dtype == np.float32
    assert np.isfinite(out).all()
    if not name.startswith("climatology"):
        assert out.shape[2] == (8 if name == "harmonic_ensemble" else 1)
        mask = data.frame_mask
        assert np.array_equal(out[1, 1, 0][mask], series.state[8][mask])  # the boundary data of that lead
    # Nothing of the future interior may enter.
    altered = series.state.copy()
    altered[6:, 1:-1, 1:-1] += 9
    again = forecast(replace(series, state=altered), [5], [1, 3])
    assert np.array_equal(again[0][..., 1:-1, 1:-1, :], out[1][..., 1:-1, 1:-1, :])


def test_persistence_starts_from_the_analysis(data):
    series = replace(data.test[0], analysis=data.test[0].state + 1)
    out = BASELINES["persistence"]().fit(data)(series, [3], [2])
    assert np.allclose(out[0, 0, 0, 1:-1, 1:-1], data.test[0].state[3, 1:-1, 1:-1] + 1)


def test_harmonic_ensemble_is_dressed_with_the_errors_of_the_training_split(data):
    """With a training split of two starts and two members both errors are drawn; of an exact extension none is left."""
    short = replace(data, train=(replace(data.train[0], state=data.train[0].state[:4], time=data.train[0].time[:4]),))
    out = BASELINES["harmonic_ensemble"](members=2).fit(short)(data.test[0], [3, 7], [1, 2])
    centre = BASELINES["harmonic"]().fit(short)
    error = lead_states(short.train[0], [0, 1], [1, 2]) - centre(short.train[0], [0, 1], [1, 2])[:, :, 0]
    error[:, :, short.frame_mask] = 0
    np.testing.assert_allclose(
        out - centre(data.test[0], [3, 7], [1, 2]), np.stack([error.swapaxes(0, 1)] * 2), atol=1e-5
    )
    series, forecast = data.test[0], BASELINES["harmonic_ensemble"]().fit(data)
    later = replace(series, time=series.time + np.timedelta64(1, "D"))
    cut = replace(series, state=series.state[2:], time=series.time[2:])
    one, other, same = forecast(series, [5], [1]), forecast(later, [5], [1]), forecast(cut, [3], [1])
    assert (one != other).any(-1)[..., ~data.frame_mask].all()  # another time, other errors
    np.testing.assert_array_equal(one, same)
    assert set(ENSEMBLES) == {"climatology", "harmonic_ensemble", "oracle"}
    with pytest.raises(UsageError, match="one member is no ensemble"):
        BASELINES["harmonic_ensemble"](members=1).fit(data)


def test_harmonic_is_exact_where_the_change_is_harmonic():
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    base = noise(3, 1)
    change = np.stack([x * y, x - y], -1) * np.arange(9)[:, None, None, None] ** 2
    data = data_of([base + change] * 3)
    out = BASELINES["harmonic"]().fit(data)(data.test[0], [2, 4], [1, 3])[:, :, 0]
    assert np.allclose(out, data.test[0].state[[[3, 5], [5, 7]]], atol=1e-3)


def test_diurnal_is_exact_for_a_daily_cycle_of_any_shape():
    cycle = noise(4, 4) * 5
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    t = np.arange(40)
    trend = (x - 2 * y)[None, :, :, None] * (0.1 * t[:, None, None, None])
    data = data_of([cycle[t % 4], cycle[t[:5] % 4], cycle[t % 4] + trend])
    forecast = BASELINES["diurnal"]().fit(data)
    assert np.allclose(
        forecast(data.test[0], [3, 8], [1, 6])[:, :, 0], data.test[0].state[[[4, 9], [9, 14]]], atol=1e-3
    )
    off = replace(data.test[0], time=data.test[0].time + np.timedelta64(1, "h"))
    with pytest.raises(UsageError, match="time of day does not occur"):
        forecast(off, [3], [1])


def test_relaxed_is_the_rollout_of_its_first_guess(data):
    domain = lam.domain_of(data, lam.Formulation("relaxed"))
    assert 0 < domain.memory.max() < 0.3 and 0 < domain.yesterday.max() < 0.3  # noise has no memory
    now, before, made = *(data.test[0].state[[5 - i]][:, 1:-1, 1:-1] for i in (0, 1)), []
    outlook = lam.Outlook.build(domain, data.test[0], [5], 3)
    states = [(x - domain.mean) / domain.std for x in (before, now)]
    for lead in range(3):
        given = outlook.frame[:, lead : lead + 3], outlook.forcing[:, lead], outlook.climate[:, lead]
        states.append(lam.first_guess(domain, lam.Inputs(states[-1], states[-2], *given)))
        made.append(states[-1] * domain.std + domain.mean)
    out = BASELINES["relaxed"]().fit(data)(data.test[0], [5, 7], [1, 3])[0, :, 0, 1:-1, 1:-1]
    np.testing.assert_allclose(out, np.concatenate(made)[[0, 2]], atol=1e-5)


def test_relaxed_refuses_what_it_has_no_guess_for(data):
    forecast = BASELINES["relaxed"]().fit(data)
    with pytest.raises(UsageError, match="leads are steps after the start; 0 is none"):
        forecast(data.test[0], [5], [0, 1])
    series = data.test[0]
    late = series.time + np.where(np.arange(len(series.time)) == 7, np.timedelta64(3, "h"), np.timedelta64(0, "h"))
    odd = replace(series, time=late)
    assert np.isfinite(forecast(odd, [8], [1, 2])).all()
    with pytest.raises(UsageError, match="does not occur in the training split"):
        forecast(odd, [5], [1, 3])  # the step between goes through it


def test_climatology_draws_training_states(data):
    series = data.test[0]
    out = Climatology(members=30).fit(data)(series, [1, 2], [1, 4])
    assert out.shape == (2, 2, 30, *GRID, 2) and np.array_equal(out[:, 0], out[:, 1])
    train = data.train[0].state.reshape(80, -1)
    found = [np.flatnonzero((train == m.ravel()).all(1)) for m in out[0, 0]]
    assert all(len(f) == 1 for f in found) and len({int(f[0]) for f in found}) == 30  # without replacement
    assert not np.array_equal(out[0], out[1])
    assert np.array_equal(Climatology(members=30).fit(data)(series, [2], [1])[0, 0], out[1, 0])
    cut = replace(series, state=series.state[1:], time=series.time[1:])  # the same start, wherever it lies
    assert np.array_equal(Climatology(members=30).fit(data)(cut, [1], [1])[0, 0], out[1, 0])
    mean = ClimatologyMean().fit(data)(series, [1], [1])[0, 0, 0]
    assert np.allclose(mean, data.train[0].state.mean(0), atol=1e-5)
    with pytest.raises(UsageError, match="ask for fewer"):
        Climatology(members=81).fit(data)


def test_ar2_finds_its_coefficients():
    x = np.zeros((400, *GRID, 2))
    eps = noise(5, 400)
    for t in range(2, 400):
        x[t] = [1.3, 0.5] * x[t - 1] + [-0.5, 0.3] * x[t - 2] + [1.0, -2.0] + 0.1 * eps[t]
    shifted = x + [280.0, 0.0]  # far from zero, as temperatures are
    data = data_of([shifted] * 3, frame=(0, 0))
    start = np.arange(100, 380)
    got = AR2().fit(data)(data.test[0], start, [1])[:, 0, 0]
    best = shifted[start + 1] - 0.1 * eps[start + 1]
    assert np.abs(got - best).max() < 0.05
    two = AR2().fit(data)(data.test[0], start, [2])[:, 0, 0] - shifted[start + 2]
    assert two.std((0, 1, 2)) == pytest.approx(0.1 * np.sqrt(1 + np.array([1.3, 0.5]) ** 2), rel=0.05)


def test_ridge_finds_a_linear_law_with_the_frame_ahead():
    rng = np.random.default_rng(6)
    mix = rng.standard_normal((3, 2)) * 0.4

    def run(seed, length=300):
        frame, x = noise(seed, length), np.zeros((length, *GRID, 2))
        for t in range(length):
            x[t] = frame[t]
            edge = frame[t, :1, :1]
            inner = mix[0] * x[t - 1, 1:-1, 1:-1] + mix[1] * x[t - 2, 1:-1, 1:-1] + mix[2] * edge if t > 1 else 0
            x[t, 1:-1, 1:-1] = inner + 0.01 * noise(seed + 100 + t, 1)[0, 1:-1, 1:-1]
        return x

    data = data_of([run(7), run(8, 5), run(9, 60)])
    forecast = Ridge(penalty=1e-4).fit(data)
    starts = np.arange(2, 50)
    for lead, bound in ((1, 0.03), (4, 0.04)):
        error = (forecast(data.test[0], starts, [lead])[:, 0, 0] - data.test[0].state[starts + lead])[:, 1:-1, 1:-1]
        assert error.std() < bound * data.test[0].state.std()


def test_frame_regression_finds_a_linear_law_of_the_frame_at_any_lead():
    """The interior is a linear map of two modes of the frame plus noise, which is all that is left."""
    rng = np.random.default_rng(11)
    modes, inside = rng.standard_normal((2, *GRID, 2)), rng.standard_normal((2, 4, 5, 2))

    def run(seed, length):
        scores = np.random.default_rng(seed).standard_normal((length, 2))
        x = np.einsum("tm,myxv->tyxv", scores, modes)
        x[:, 1:-1, 1:-1] = np.einsum("tm,myxv->tyxv", scores, inside) + 0.1 * noise(seed + 1, length)[:, 1:-1, 1:-1] + 7
        return x

    data = data_of([run(12, 600), run(14, 5), run(16, 80)])
    forecast = FrameRegression(penalty=1e-3, components=20).fit(data)
    starts = np.arange(1, 60)
    for lead in (1, 15):
        error = (forecast(data.test[0], starts, [lead])[:, 0, 0] - data.test[0].state[starts + lead])[:, 1:-1, 1:-1]
        assert error.std() == pytest.approx(0.1, rel=0.05)
    with pytest.raises(UsageError, match="has no frame"):
        FrameRegression().fit(replace(data, frame=(0, 0)))


def test_principal_components_are_those_of_the_covariance():
    rows = noise(10, 50).reshape(50, -1) * np.linspace(3, 0.1, 84)
    for part in (rows, rows[:, :20]):  # more numbers than rows, and fewer
        found = Components.fit([part[:20], part[20:]], 5)
        centred = part - part.mean(0)
        variance = np.linalg.svd(centred, compute_uv=False)[:5] ** 2
        assert np.allclose(np.sort((found(part) ** 2).sum(0))[::-1], variance, rtol=1e-4)
        assert np.allclose(found.basis.T @ found.basis, np.eye(5), atol=1e-4)


def test_the_oracle_belongs_to_the_first_test_series(data):
    def rerun(starts, members, leads, seed):
        return np.zeros((len(starts), len(leads), members, *GRID, 2), np.float32)

    with pytest.raises(UsageError, match="cannot be re-run"):
        Oracle().fit(data)
    known = replace(data, oracle=rerun)
    forecast = Oracle(members=3).fit(known)
    assert forecast(known.test[0], [1], [1, 2]).shape == (1, 2, 3, *GRID, 2)
    with pytest.raises(UsageError, match="first series"):
        forecast(known.val[0], [1], [1])
