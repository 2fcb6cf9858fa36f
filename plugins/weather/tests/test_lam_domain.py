"""Conditioning, first guess and target of Diffusion-LAM."""

import tracemalloc
from dataclasses import replace

import jax
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_weather.area.frame import frame_of, interior_of
from genkit_weather.data import Series, WeatherData, statistics
from genkit_weather.lam import Examples, Formulation, Inputs, advance, condition, domain_of, first_guess, target
from genkit_weather.lam.domain import expected, extended
from genkit_weather.lam.fitting import daily_climatology, fitted_yesterday

H, W, V, FRAME = 8, 9, 2, (2, 2)


def series(state, forcing=None, first=0):
    times = np.datetime64("2020-03-01T00", "s") + (first + np.arange(len(state))) * np.timedelta64(6, "h")
    if forcing is None:
        forcing = np.arange(len(state) * 3, dtype=np.float32).reshape(-1, 1, 1, 3)
    return Series(np.asarray(state, np.float32), forcing, times)


def dataset(*states, forcing=None):
    train = tuple(series(s, forcing) for s in states)
    static = np.random.default_rng(9).standard_normal((H, W, 3)).astype(np.float32)
    return WeatherData(
        train=train,
        val=train,
        test=train,
        static=static,
        frame=FRAME,
        names=("a", "b"),
        units=("K", "K"),
        long_names=("a", "b"),
        forcing_names=("f", "g", "h"),
        static_names=("x", "y", "z"),
        step_hours=6.0,
    )


def noise(t, seed=0):
    return np.random.default_rng(seed).standard_normal((t, H, W, V)) * [1, 5] + [3, 280]


def one(domain, data, rows=(0, 3)):
    return Examples(data.train, domain).take(np.array(rows))


@pytest.mark.parametrize("guess", ["persistence", "harmonic", "diurnal", "relaxed"])
def test_target_and_advance_are_inverse_and_standardised(guess):
    data = dataset(noise(30))
    domain = domain_of(data, Formulation(guess=guess))
    batch = one(domain, data, range(28))
    y = target(domain, batch.inputs, batch.truth)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(advance(domain, batch.inputs, y), batch.truth, atol=1e-5)


def test_persistence_residual_is_the_published_one():
    data = dataset(noise(30))
    domain = domain_of(data, Formulation(guess="persistence"))
    x = (data.train[0].state - statistics(data).mean) / statistics(data).std
    change = np.diff(interior_of(x, FRAME)[1:], axis=0)
    np.testing.assert_allclose(domain.residual_std, change.std((0, 1, 2)), rtol=1e-4)
    batch = one(domain, data)
    np.testing.assert_allclose(first_guess(domain, batch.inputs), batch.inputs.prev)


def test_harmonic_guess_is_exact_for_linear_tendencies():
    y, x = np.meshgrid(np.arange(H), np.arange(W), indexing="ij")
    slopes = np.random.default_rng(0).standard_normal((20, 2, V))
    tendency = slopes[:, :1, None] * y[..., None] + slopes[:, 1:, None] * x[..., None] + 1
    data = dataset(noise(1) + np.cumsum(tendency, 0))
    domain = domain_of(data, Formulation(guess="harmonic"))
    batch = one(domain, data)
    np.testing.assert_allclose(first_guess(domain, batch.inputs), batch.truth, atol=1e-4)


def test_diurnal_guess_is_exact_for_a_daily_cycle_plus_a_linear_tendency():
    cycle = np.random.default_rng(0).standard_normal((4, H, W, V))
    drift = np.linspace(0, 1, W)[None, :, None] * np.array([0.3, -0.1])
    t = np.arange(24)
    state = cycle[t % 4] + np.where(t % 8 < 4, 1, -1)[:, None, None, None] * drift
    data = dataset(state)
    domain = domain_of(data, Formulation(guess="diurnal"))
    batch = one(domain, data, range(22))
    np.testing.assert_allclose(first_guess(domain, batch.inputs), batch.truth, atol=1e-4)
    plain = domain_of(data, Formulation(guess="harmonic"))
    assert float(plain.residual_std.min()) > 0.1


def test_relaxed_guess_is_exact_where_the_departure_from_the_frame_decays():
    cycle = np.random.default_rng(0).standard_normal((4, H, W, V))
    bump = np.zeros((H, W, 1))
    bump[FRAME[0] : -FRAME[0], FRAME[1] : -FRAME[1]] = 1
    # over two days the departure is of mean 0, so that the climatology is the cycle
    days = [cycle + sign * bump * 0.3 ** np.arange(4)[:, None, None, None] for sign in (1, -1)]
    data = dataset(*days)
    domain = domain_of(data, Formulation(guess="relaxed", anomalies=True))
    batch = one(domain, data, range(4))
    np.testing.assert_allclose(domain.memory, 0.3, atol=1e-4)
    np.testing.assert_allclose(first_guess(domain, batch.inputs), batch.truth, atol=1e-4)


def test_the_last_day_that_is_known_moves_the_climatology():
    data = dataset(noise(30))
    domain = replace(domain_of(data, Formulation("relaxed")), yesterday=np.array([0.5, 0.2], np.float32))
    x = (data.train[0].state - np.asarray(domain.mean)) / np.asarray(domain.std)
    cycle = np.asarray(domain.climatology)[[0, 6, 12, 18] * 8]
    share, departs = np.asarray(domain.yesterday), x - cycle[:30]

    def climate(series, when, last=9):
        return expected(domain, series, np.array([when]), np.array([last]))[0]

    for when, then, days in (([7, 8, 9], [3, 4, 5], 1), ([10, 12, 13], [6, 8, 9], 1), ([14, 17, 18], [6, 9, 6], 0)):
        power = np.array([days] * 3 if days else [2, 2, 3])[:, None, None, None]
        moved = cycle[when] + share**power * departs[then]
        np.testing.assert_allclose(climate(data.train[0], when), moved, atol=1e-5)
    np.testing.assert_array_equal(climate(data.train[0], [1, 2, 3], 2), cycle[1:4])  # the series has not begun
    blind = replace(data.train[0], analysis=np.full_like(data.train[0].state, np.nan))
    np.testing.assert_array_equal(climate(blind, [8, 9, 10]), cycle[8:11])
    other = replace(data.train[0], analysis=data.train[0].state + domain.std, lateral=data.train[0].state - domain.std)
    change = climate(other, [8, 9, 10]) - climate(data.train[0], [8, 9, 10])
    np.testing.assert_allclose(interior_of(change, FRAME), np.broadcast_to(share, (3, 4, 5, V)), atol=1e-4)
    np.testing.assert_allclose(frame_of(change, FRAME), -np.broadcast_to(share, (3, 52, V)), atol=1e-4)
    series = replace(data.train[0], state=np.where(np.arange(30)[:, None, None, None] > 9, np.nan, data.train[0].state))
    assert np.isfinite(climate(series, [11, 15, 25])).all()  # the future is not looked at
    when, last = 4 + np.arange(20).reshape(1, 20, 1) + np.zeros((8, 1, 3), int), np.full(8, 9)
    tracemalloc.start()
    size, peak = expected(domain, data.train[0], when, last).nbytes, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * size  # little but the climate itself is held


def test_the_share_that_a_day_leaves_is_fitted_without_both_dates():
    """Against a loop that takes the climatology anew for each pair; that of all days would say less."""
    lasting = (noise(1, 2) - noise(1, 4)) * np.repeat([1, 1, 1, -1, -1, -1], 4)[:, None, None, None]
    mask = np.ones((H, W, V), bool)
    mask[:, 5:, 1] = False
    data = replace(dataset(noise(24) + lasting, noise(23, 3)), mask=mask)
    domain = domain_of(data, Formulation("relaxed"))
    rest = [(s.state - domain.mean) / domain.std for s in data.train]
    rest = [interior_of(x, FRAME) - np.asarray(extended(domain, frame_of(x, FRAME))) for x in rest]
    rest = [np.where(interior_of(mask, FRAME), x, 0) for x in rest]
    product = square = plain = whole = 0.0
    for x in rest:
        for t in range(len(x) - 4):
            alike = [(i, u) for i, y in enumerate(rest) for u in range(t % 4, len(y), 4)]
            others = np.mean([rest[i][u] for i, u in alike if u // 4 not in (t // 4, t // 4 + 1)], 0)
            every = np.mean([rest[i][u] for i, u in alike], 0)
            product, square = product + (x[t] - others) * (x[t + 4] - others), square + (x[t] - others) ** 2
            plain, whole = plain + (x[t] - every) * (x[t + 4] - every), whole + (x[t] - every) ** 2
    ratio = product.sum((0, 1)) / square.sum((0, 1))
    np.testing.assert_allclose(domain.yesterday, np.clip(ratio, 0, 1), rtol=1e-4)
    assert (ratio > plain.sum((0, 1)) / whole.sum((0, 1)) + 0.02).all() and ratio.max() > 0.1
    two_days = dataset(noise(8))
    assert not domain_of(two_days, Formulation("relaxed")).yesterday.any()  # nothing is left to take a mean of
    assert domain_of(replace(data, step_hours=9.0), Formulation("relaxed")).yesterday is None


@pytest.mark.parametrize("blocks", [256, 30])  # states read at once: two dates at least
def test_states_of_a_date_that_are_told_twice_leave_the_share_as_it_is(blocks, monkeypatch):
    """By members or by steps within the hour; of six days of states an hour apart, two times three in a row."""
    monkeypatch.setattr("genkit_weather.lam.fitting.rows_at_once", lambda shape: blocks)
    days = noise(7, 2)
    hourly = np.repeat(days[1:] + days[:-1], 24, 0) + 0.1 * noise(144, 4)

    def share(*states, step=60):
        half = len(states[0]) // 2
        time = np.datetime64("2020-03-01T00", "s") + np.arange(half) * np.timedelta64(step, "m")
        cut = ((slice(half), time), (slice(half, None), time + np.timedelta64(4, "D")))
        parts = [replace(s, state=s.state[rows], time=t) for s in dataset(*states).train for rows, t in cut]
        data = replace(dataset(*states), train=tuple(parts), step_hours=step / 60)
        stats = statistics(data)
        domain = replace(fixed, mean=stats.mean, std=stats.std, climatology=daily_climatology(data, stats))
        return np.asarray(fitted_yesterday(domain, data))

    fixed = domain_of(dataset(hourly), Formulation("diurnal"))
    plain = share(hourly)
    assert plain.max() > 0.05
    np.testing.assert_allclose(share(hourly, hourly, hourly), plain, rtol=1e-4)
    np.testing.assert_allclose(share(np.repeat(hourly, 2, 0), step=30), plain, rtol=1e-4)


def test_relaxed_guess_is_exact_for_a_seasonal_autoregression():
    """(1 - m B) (1 - s B^4) of the departures is 0, where B is a step back."""
    share, memory = np.array([0.6, 0.9]), np.array([0.5, 0.2])
    bump = np.zeros((H, W, V))
    bump[FRAME[0] : -FRAME[0], FRAME[1] : -FRAME[1]] = np.random.default_rng(5).standard_normal((4, 5, V))
    rest = list(np.random.default_rng(6).standard_normal((5, 1, 1, V)))
    while len(rest) < 20:
        rest.append(share * rest[-4] + memory * (rest[-1] - share * rest[-5]))
    data = dataset(np.tile(noise(4, 7), (5, 1, 1, 1)) + bump * np.array(rest))
    domain = domain_of(data, Formulation("relaxed"))
    cycle = (noise(4, 7) - np.asarray(domain.mean)) / np.asarray(domain.std)
    climatology = np.asarray(domain.climatology).copy()
    climatology[[0, 6, 12, 18]] = cycle
    domain = replace(domain, climatology=climatology, yesterday=share.astype(np.float32), memory=memory)
    batch = one(domain, data, range(4, 18))  # from the second day on
    np.testing.assert_allclose(first_guess(domain, batch.inputs), batch.truth, atol=1e-4)
    assert np.abs(first_guess(domain, one(domain, data, [2]).inputs) - one(domain, data, [2]).truth).max() > 0.01


def test_anomalies_hide_the_daily_cycle():
    data = dataset(noise(24))
    cycle = np.tile(noise(4, seed=1), (6, 1, 1, 1))
    same = replace(data, train=tuple(replace(s, state=s.state + cycle.astype(np.float32)) for s in data.train))
    told = []
    for d in (data, same):
        # both have their own statistics: compare in physical units
        domain = domain_of(d, Formulation(guess="diurnal", anomalies=True, fill=False, tendencies=False))
        cond = condition(domain, one(domain, d).inputs)
        told += [(cond.interior[..., :2] * domain.std, cond.frame[..., :6] * np.tile(domain.std, 3))]
        departure = cond.interior[..., 4:6] * domain.diff_std  # after prev and before
        assert float(np.abs(departure).max()) > 0.1
    for a, b in zip(*told, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    with pytest.raises(UsageError, match="anomalies need the guess diurnal or relaxed"):
        Formulation(anomalies=True)


@pytest.mark.parametrize("formulation", [Formulation(), Formulation("relaxed", anomalies=True)])
def test_the_guess_takes_the_future_from_the_frame_alone(formulation):
    data = dataset(noise(30))
    domain = domain_of(data, formulation)
    batch = one(domain, data)
    other = data.train[0].state.copy()
    interior_of(other, FRAME)[[2, 5]] = np.nan
    blind = one(domain, dataset(other))
    for a, b in zip(*(jax.tree.leaves(condition(domain, x.inputs)) for x in (batch, blind)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_channels_in_the_published_order():
    data = dataset(noise(30))
    domain = domain_of(data, Formulation.preset("paper"))
    inputs = one(domain, data).inputs
    cond = condition(domain, inputs)
    static = np.broadcast_to(domain.static, (2, H, W, 3))
    expected = np.concatenate([inputs.prev, inputs.before, interior_of(static, FRAME)], -1)
    np.testing.assert_allclose(cond.interior, expected)
    future, prev, before = inputs.frame[:, 2], inputs.frame[:, 1], inputs.frame[:, 0]
    np.testing.assert_allclose(cond.frame, np.concatenate([future, prev, before, frame_of(static, FRAME)], -1))
    forcing = (data.train[0].forcing[:, 0, 0] - statistics(data).forcing_mean) / statistics(data).forcing_std
    np.testing.assert_allclose(cond.scalars[1], forcing[3:6].ravel(), rtol=1e-5)


def test_tendencies_are_in_units_of_their_std():
    data = dataset(noise(30))
    domain = domain_of(data, Formulation(fill=False))
    batch = one(domain, data, range(28))
    cond = condition(domain, batch.inputs)
    np.testing.assert_allclose(cond.interior[..., V : 2 * V].std((0, 1, 2)), 1, rtol=0.1)
    np.testing.assert_allclose(cond.frame[..., :V].std((0, 1)), 1, rtol=0.1)


def test_forcing_that_varies_in_space_joins_the_fields():
    forcing = np.random.default_rng(3).standard_normal((12, H, W, 3)).astype(np.float32)
    data = dataset(noise(12), forcing=forcing)
    domain = domain_of(data, Formulation(fill=False, guess="persistence"))
    inputs = one(domain, data).inputs
    cond = condition(domain, inputs)
    assert cond.scalars.shape == (2, 0)
    assert cond.interior.shape[-1] == 2 * V + 9 + 3
    np.testing.assert_allclose(cond.interior[..., 2 * V : 2 * V + 9], interior_of(inputs.forcing, FRAME))
    assert cond.frame.shape[-1] == 3 * V + 9 + 3


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize(
    "formulation", [Formulation(), Formulation("diurnal", anomalies=True), Formulation.preset("paper")]
)
def test_sizes_are_those_of_the_conditioning(formulation, uniform):
    forcing = None if uniform else np.ones((12, H, W, 3), np.float32)
    data = dataset(noise(12), forcing=forcing)
    domain = domain_of(data, formulation)
    cond, sizes = condition(domain, one(domain, data).inputs), formulation.sizes(data.layout, extra=2)
    assert sizes.interior == cond.interior.shape[-1] + 2
    assert (sizes.boundary, sizes.scalars) == (cond.frame.shape[-1], cond.scalars.shape[-1])
    assert (sizes.grid, sizes.frame, sizes.outputs) == ((H, W), FRAME, V)


def test_windows_stay_inside_their_series_and_keep_their_order():
    data = dataset(noise(5), noise(6, seed=1))
    domain = domain_of(data, Formulation(guess="persistence", fill=False))
    examples = Examples(data.train, domain)
    assert len(examples) == 3 + 4
    rows = np.array([5, 0, 3])
    batch = examples.take(rows)
    assert isinstance(batch.inputs, Inputs)
    scaled = [(s.state - np.asarray(domain.mean)) / np.asarray(domain.std) for s in data.train]
    for i, (which, now) in enumerate([(1, 3), (0, 1), (1, 1)]):
        np.testing.assert_allclose(batch.truth[i], interior_of(scaled[which][now + 1], FRAME), rtol=1e-4, atol=1e-4)
        before = frame_of(scaled[which][now - 1], FRAME)
        np.testing.assert_allclose(batch.inputs.frame[i, 0], before, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(examples[5].truth, batch.truth[0])


def test_analysis_and_boundary_data_are_used_where_they_differ_from_the_truth():
    data = dataset(noise(6))
    domain = domain_of(data, Formulation(guess="persistence", fill=False))
    plain = one(domain, data, [1])
    other = replace(data.train[0], lateral=data.train[0].state + 1, analysis=data.train[0].state + 2)
    moved = Examples((other,), domain).take(np.array([1]))
    shift = 2 / np.asarray(domain.std) + 0 * plain.inputs.prev
    np.testing.assert_allclose(moved.inputs.prev - plain.inputs.prev, shift, rtol=1e-3)
    shift = 1 / np.asarray(domain.std) + 0 * plain.inputs.frame
    np.testing.assert_allclose(moved.inputs.frame - plain.inputs.frame, shift, rtol=1e-3)
    np.testing.assert_array_equal(moved.truth, plain.truth)


def test_cells_without_values_are_not_seen_and_do_not_count():
    mask = np.ones((H, W, V), bool)
    mask[:, 4:, 1] = False
    data = replace(dataset(noise(12)), mask=mask)
    domain = domain_of(data, Formulation("persistence", fill=False))
    inside = interior_of(np.asarray(data.train[0].state), FRAME)[1:].astype(np.float64)  # from the first known state on
    change = np.diff(inside, axis=0)[:, :, :2, 1] / float(domain.std[1])
    np.testing.assert_allclose(domain.residual_std[1], change.std(), rtol=1e-4)
    whole = domain_of(dataset(noise(12)), Formulation("persistence", fill=False))
    np.testing.assert_allclose(domain.residual_std[0], whole.residual_std[0], rtol=1e-6)
    batch = Examples(data.train, domain).take(np.array([0, 3]))
    cells = interior_of(mask, FRAME)
    strange = replace(batch.inputs, prev=np.where(cells, batch.inputs.prev, 99.0).astype(np.float32))
    one, two = (jax.jit(condition)(domain, inputs) for inputs in (batch.inputs, strange))
    np.testing.assert_array_equal(one.interior, two.interior)
    assert not np.asarray(one.interior[..., 1])[:, ~cells[..., 1]].any()
