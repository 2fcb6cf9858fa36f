"""The generated nature run: what is stored, its boundary data, exact ensembles, the cache."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_weather.data import frames, truth
from genkit_weather.datasets.qg import generate
from genkit_weather.datasets.qg.model import Flow
from genkit_weather.datasets.qg_nature import QGNature, _smooth_noise


def test_shapes_forcing_and_static_fields(small_nature):
    options, data = small_nature
    assert [len(s[0]) for s in (data.train, data.val, data.test)] == [24, 8, 36]
    assert data.train[0].state.shape == (24, 32, 32, 5) and data.train[0].state.dtype == np.float32
    assert data.grid == (32, 32) and data.frame == (4, 4) and data.step_hours == 6
    assert data.frame_mask.sum() == 32 * 32 - 24 * 24
    assert np.array_equal(data.static[..., -1], data.frame_mask)
    assert (np.diff(data.train[0].time) == np.timedelta64(6, "h")).all()
    forcing = data.train[0].forcing[:, 0, 0]
    assert np.allclose(forcing[4:], forcing[:-4], atol=0.4) and np.allclose(forcing[4:, :2], forcing[:-4, :2])
    assert np.allclose(forcing[:, 4], 0.5 * (1 + 0.2 * forcing[:, 3]))
    # Noon, when heating is strongest, has sin_day = 1: the time of day counts from the model's time 0.
    hour = (data.train[0].time - data.train[0].time.astype("datetime64[D]")) / np.timedelta64(1, "h")
    assert np.allclose(forcing[:, 0], np.sin(2 * np.pi * hour / 24), atol=1e-6)
    assert 0.9 < data.static[..., 0].max() <= 1.5 and set(np.unique(data.static[..., 1])) == {0, 1}


def test_the_winds_are_the_derivatives_of_the_streamfunction(small_nature):
    _, data = small_nature
    state = data.test[0].state
    lower = state[..., 0] - state[..., 1]
    u = -(lower[:, 2:, 1:-1] - lower[:, :-2, 1:-1])  # centred over 2 dx = 1
    v = lower[:, 1:-1, 2:] - lower[:, 1:-1, :-2]
    for wind, derivative in ((state[:, 1:-1, 1:-1, 3], u), (state[:, 1:-1, 1:-1, 4], v)):
        assert np.std(wind - derivative) < 0.25 * np.std(wind)  # centred differences lose the shortest waves
        assert np.corrcoef(wind.ravel(), derivative.ravel())[0, 1] > 0.98


def test_the_same_parameters_read_the_cache_and_give_the_same_numbers(small_nature, monkeypatch, tmp_path):
    options, data = small_nature
    again = generate.natures(Flow(), options.seeds[1:2], options.spinup, [options.val])[0]
    assert np.array_equal(again["area"], data.val[0].state)
    with monkeypatch.context() as patch:
        patch.setattr(generate, "natures", lambda *_: pytest.fail("generated again"))
        assert np.array_equal(options.load().train[0].state, data.train[0].state)
    assert options.path().stat().st_size < 20e6


def test_a_rerun_with_the_truths_own_noise_is_the_truth(small_nature):
    options, data = small_nature
    with np.load(options.path()) as file:
        full = file["test_full"]
    noise = jax.random.split(jax.random.key(options.seeds[2]))[1]
    starts = np.array([0, 9])
    runs = generate.ensemble(Flow(), full[starts], jax.numpy.stack([noise] * 2), starts + options.spinup, 6, area=True)
    expected = truth(data.test[0], starts, range(7))
    assert np.abs(runs - expected).max() < 1e-3 * expected.std()


def test_oracle_members_spread_as_much_as_their_mean_errs(small_nature):
    _, data = small_nature
    starts, members = np.arange(0, 34, 3), 10
    drawn = data.oracle(starts, members, [1, 2])
    assert drawn.shape == (12, 2, 10, 32, 32, 5)
    spread = np.sqrt(drawn.var(2, ddof=1).mean((0, 2, 3)))
    error = np.sqrt(((drawn.mean(2) - truth(data.test[0], starts, [1, 2])) ** 2).mean((0, 2, 3)))
    ratio = np.sqrt((members + 1) / members) * spread / error
    assert (np.abs(ratio - 1) < 0.15).all(), ratio
    few = data.oracle(starts[2:3], 3, [2])
    assert np.allclose(few[0, 0], drawn[2, 1, :3], atol=1e-4)  # draws do not depend on what else is asked
    other = data.oracle(starts[2:3], 3, [2], seed=1)
    assert np.abs(other - few).max() > 0.05


def test_bilinear_weights_reproduce_straight_lines_between_block_centres():
    weights = generate.bilinear(16, 4)
    centres = np.arange(4) * 4 + 1.5
    assert np.allclose((weights @ centres)[2:14], np.arange(2, 14))
    assert np.allclose(weights.sum(1), 1) and weights[0, 3] > 0  # periodic


def test_block_means():
    field = np.arange(16.0).reshape(4, 4, 1)
    assert np.allclose(generate.block_mean(field, 2)[..., 0], [[2.5, 4.5], [10.5, 12.5]])


def test_coarse_boundary_is_the_truth_on_blocks(small_nature):
    options, data = small_nature
    coarse = replace(options, boundary="coarse").load()
    assert np.array_equal(coarse.test[0].state, data.test[0].state)
    frame = coarse.test[0].lateral
    assert frame.shape == data.test[0].state.shape and coarse.test[0].host is None
    # A block's mean of the interpolated field is near the block's mean of the truth; its details are gone.
    true, seen = (generate.block_mean(a, 4) for a in (data.test[0].state, frame))
    assert np.corrcoef(true[..., 0].ravel(), seen[..., 0].ravel())[0, 1] > 0.97
    assert np.std(np.diff(frame[..., 3], axis=2)) < np.std(np.diff(data.test[0].state[..., 3], axis=2))


def test_host_boundary_is_a_forecast_of_a_coarser_model(small_nature):
    options, data = small_nature
    hosted = replace(options, boundary="host").load()
    series = hosted.test[0]
    cycle = generate.HOST_CYCLE
    starts = [0, cycle]
    ahead = frames(series, starts, [-1 + 1, 5])
    assert np.allclose(ahead, series.lateral[np.array(starts)[:, None] + [0, 5]], atol=1e-3)
    error = np.abs(series.lateral - series.state)[:, 8:24, 8:24].mean((1, 2))
    assert (error[cycle - 1] > 1.5 * error[0]).all()  # it does not know the noise to come
    before = frames(series, [cycle], [-1, 0])[0]
    assert np.abs(before - series.state[[cycle - 1, cycle]]).mean() < 2 * error[0].mean()  # analyses, not forecasts


def test_the_host_sees_the_mountains_where_its_points_are():
    flow = generate.host_flow(Flow())
    assert flow.n == 32 and flow.noise == 0
    blocks = generate.block_mean(Flow().raw_orography[..., None], 2)[..., 0]
    assert np.abs(flow.raw_orography - blocks).max() < 0.02


def test_analysis_error_touches_only_the_known_states(small_nature):
    options, data = small_nature
    noisy = replace(options, analysis_error=0.2).load()
    assert np.array_equal(noisy.test[0].state, data.test[0].state) and noisy.train[0].lateral is None
    error = noisy.train[0].known - data.train[0].state
    assert np.allclose(error.std((0, 1, 2)) / data.train[0].state.std((0, 1, 2)), 0.2, rtol=0.15)


def test_analysis_noise_has_the_correlation_of_its_filter():
    noise = _smooth_noise(0, 40)
    assert noise.var() == pytest.approx(1.0, rel=0.1)
    for cells in (1, 2, 4):  # the transform of exp(-K2 / 2) is exp(-d^2 / 2)
        got = (noise[:, :, cells:] * noise[:, :, :-cells]).mean() / noise.var()
        assert got == pytest.approx(np.exp(-((0.5 * cells) ** 2) / 2), abs=0.04)


def test_options_out_of_range_are_refused():
    with pytest.raises(UsageError, match="frame 16 must be 1..15"):
        QGNature(frame=16).load()


@pytest.mark.usefixtures("optimised")
@pytest.mark.slow
def test_statistics_of_the_climate():
    """A training run against long runs of an independent prototype of the same equations."""
    state = generate.nature(Flow(noise=0.3), seed=10, spinup=444, length=400)["area"]
    assert np.allclose(state.std((0, 1, 2)), [5.19, 2.40, 1.67, 1.12, 0.81], rtol=0.15)
    change = np.diff(state, axis=0).std((0, 1, 2))
    assert np.allclose(change, [1.09, 0.58, 0.63, 0.266, 0.314], rtol=0.2)
    lower = state[..., 0] - state[..., 1]
    derivative = lower[:, 2:] - lower[:, :-2]
    assert np.std(state[:, 1:-1, :, 3] + derivative) / np.std(state[..., 3]) == pytest.approx(0.029, rel=0.2)
