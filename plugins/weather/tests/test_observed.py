"""What stations measure of standardised states: rows, nonlinear quantities, missing numbers, covariances, checks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.steer import DDSMC, posterior
from genkit.testing import gaussian_denoiser
from genkit_weather.assimilation import Covariance, Network, Shape, checked, departures, quantity

NAMES, SHAPE = ("z", "u", "v"), (4, 5, 3)
MEAN, STD = np.array([10.0, 1.0, -2.0]), np.array([2.0, 0.5, 3.0])
PLACE = np.array([[0.0, 0.0], [1.25, 2.5], [3.0, 4.0]])
RNG = np.random.default_rng(0)
STATE = RNG.standard_normal((2, *SHAPE))


def network(*names, wind=("u", "v")):
    return Network(SHAPE, PLACE, tuple(quantity(n, NAMES, wind) for n in names), MEAN, STD, ("a", "b", "c"))


def test_rows_interpolate_physical_values_between_four_cells():
    seen = network("z", "v").observed(np.zeros((3, 2)), 0.1).predict(STATE)
    field = STATE * STD + MEAN
    assert np.allclose(seen[:, :2], field[:, 0, 0][:, [0, 2]]) and np.allclose(seen[:, 4:], field[:, 3, 4][:, [0, 2]])
    weights = np.array([[0.75], [0.25]]) * [0.5, 0.5]
    assert np.allclose(seen[:, 2], (field[:, 1:3, 2:4, 0] * weights).sum((1, 2)))


def test_the_speed_is_that_of_interpolated_winds_and_slopes_are_derivatives():
    observed = network("wind_speed", "arctan(z)", "z>10.5", "u").observed(np.zeros((3, 4)), 0.3)
    first, second = observed.values(STATE[:1])[:, 0]
    seen = observed.predict(STATE[:1])[0].reshape(3, 4)
    assert np.allclose(seen[:, 0], np.hypot(first, second).reshape(3, 4)[:, 0])
    assert np.allclose(seen[:, 1], np.arctan(first).reshape(3, 4)[:, 1])
    assert np.allclose(seen[:, 2], 1 / (1 + np.exp(-1.702 * (first.reshape(3, 4)[:, 2] - 10.5) / 0.3)))
    slopes = observed.slopes(observed.values(STATE[:1])[:, 0])
    for which, own in enumerate(slopes):
        step = np.zeros((2, 1))
        step[which] = 1e-6
        ahead, behind = (observed.predict_of(observed.values(STATE[:1])[:, 0] + s * step) for s in (1, -1))
        assert np.allclose((ahead - behind) / 2e-6, own, atol=1e-6)


def test_numpy_and_jax_predict_alike_and_a_calm_has_a_slope():
    observed = network("wind_speed", "z").observed(np.zeros((3, 2)), 0.3)
    calm = np.zeros(SHAPE) - MEAN / STD
    assert np.allclose(jax.jit(observed.predict)(jnp.asarray(STATE)), observed.predict(STATE), atol=1e-5)
    slope = jax.grad(lambda x: observed.predict(x[None]).sum())(jnp.asarray(calm))
    assert np.isfinite(slope).all() and np.allclose(observed.predict(calm[None])[0], 0, atol=1e-12)


def test_relative_states_predict_the_same():
    observed, guess, scale = network("wind_speed", "z").observed(np.zeros((3, 2)), 0.3), STATE[0], np.array([0.5, 2, 3])
    r = (STATE - guess) / scale
    assert np.allclose(observed.relative(guess, scale).predict(r), observed.predict(STATE))


def test_what_is_missing_is_nothing_to_any_method():
    y = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, 4.0]])
    observed = network("z", "u").observed(y, [0.1, 0.5])
    assert observed.there.tolist() == [True, False, True, True, False, True]
    given = observed.observation()
    gap = given.linearised(jnp.asarray(STATE.reshape(2, -1), jnp.float32)).gap
    assert np.all(np.asarray(gap)[:, ~observed.there] == 0)
    matrix = observed.rows()
    assert matrix.operator.size == 4
    mean = np.asarray(matrix.operator(jnp.asarray(STATE, jnp.float32))) + 0.0
    scale = np.exp(np.log(observed.error[observed.there]).mean()) / observed.error[observed.there]
    departure = (observed.y - observed.predict(STATE))[:, observed.there]
    assert np.allclose(np.asarray(matrix.y) - mean, departure * scale, atol=1e-4)


def test_what_is_not_measured_is_a_finite_number():
    observed = network("z", "u").measure(np.random.default_rng(0), STATE[0], np.array([[0.1, np.inf]] * 3))
    assert observed.there.tolist() == [True, False] * 3 and np.isfinite(observed.y).all()


def test_no_observation_is_one_that_tells_nothing():
    given = network("z", "u").observed(np.zeros((3, 2)), 0.1).without().rows()
    states = jnp.asarray(STATE, jnp.float32)
    assert np.ptp(given.log_prob(states)) < 1e-6
    draws = posterior(jax.random.key(0), DDSMC(steps=4), gaussian_denoiser(jnp.zeros(SHAPE)), given, groups=50)
    assert np.isfinite(draws.x).all() and abs(float(draws.x.mean())) < 0.1


def test_events_have_the_bernoulli_law():
    observed = network("z>10.5", "u").measure(np.random.default_rng(1), STATE[0], np.array([0.3, 0.2]))
    assert set(observed.y.reshape(3, 2)[:, 0]) <= {0.0, 1.0} and observed.errors.tolist() == [0.5, 0.2] * 3
    given, p = observed.observation(), observed.predict(STATE)
    event = observed.kind == 3
    bits = np.log(np.clip(np.where(observed.y > 0.5, p, 1 - p), 1e-6, 1))
    normal = -0.5 * ((observed.y - p) / 0.2) ** 2 - 0.5 * np.log(2 * np.pi * 0.04)
    expected = np.where(event, bits, normal).sum(1)
    assert np.allclose(given.log_prob(jnp.asarray(STATE.reshape(2, -1), jnp.float32)), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "said"),
    [("t", "not observed"), ("arctan(t)", "no variable"), ("z>high", "no number"), ("wind_speed", "give wind")],
)
def test_unknown_quantities_are_refused(name, said):
    with pytest.raises(UsageError, match=said):
        quantity(name, NAMES)


def test_ddsmc_is_refused_nonlinear_observations():
    with pytest.raises(UsageError, match="linear observations"):
        network("wind_speed").observed(np.zeros((3, 1)), 0.1).rows()


@pytest.fixture(scope="module")
def errors():
    return RNG.standard_normal((200, *SHAPE)) @ RNG.standard_normal((3, 3))


def test_the_covariance_is_that_of_the_errors_tapered_and_shrunk(errors):
    sample = errors.reshape(200, -1).T @ errors.reshape(200, -1) / 200
    covariance = Covariance.fit(errors)
    factor = covariance.factor
    assert np.allclose(factor.T @ factor, sample, atol=1e-4 * sample.max())
    observed = network("z", "u").observed(np.zeros((3, 2)), 0.1)
    rows = np.zeros((6, 60))
    np.add.at(rows, (np.arange(6)[:, None], observed.cells[0]), observed.weights[0])
    ph, hph = covariance.products(observed, np.array([[1.0] * 6, [0.0] * 6]), Shape(np.inf, 0.0, 2.0))
    assert np.allclose(ph, 2 * sample @ rows.T, atol=1e-3) and np.allclose(hph, 2 * rows @ sample @ rows.T, atol=1e-3)
    ph, hph = covariance.products(observed, np.array([[1.0] * 6, [0.0] * 6]), Shape(1.5, 0.1, 1.0))
    apart = np.hypot(*(PLACE[1] - PLACE[2]))
    assert np.isclose(hph[2, 4], 0.9 * np.exp(-0.5 * (apart / 1.5) ** 2) * (rows @ sample @ rows.T)[2, 4], atol=1e-4)
    assert np.linalg.eigvalsh(hph).min() > -1e-6
    few = Covariance.fit(errors, components=5)
    assert few.factor.shape == (5, 60) and np.allclose(few.variance, np.diag(sample), rtol=1e-3)


def test_its_analysis_of_linear_observations_is_the_posterior_mean(errors):
    covariance, how = Covariance.fit(errors), Shape(np.inf, 0.0, 1.0)
    observed = network("z", "u").measure(np.random.default_rng(2), STATE[0], np.array([0.5, 0.2]))
    background = STATE[1:]
    analysis, left = covariance.analyse(background, observed, how)
    p = np.asarray(covariance.factor, float).T @ covariance.factor
    rows = np.zeros((6, 60))
    np.add.at(rows, (np.arange(6)[:, None], observed.cells[0]), observed.weights[0])
    k = p @ rows.T @ np.linalg.inv(rows @ p @ rows.T + np.diag(observed.error**2))
    exact = background.ravel() + k @ (observed.y - observed.predict(background)[0])
    assert np.allclose(analysis.ravel(), exact, atol=1e-4)
    assert np.allclose(left.ravel() ** 2, np.diag(p - k @ rows @ p), atol=1e-3)


def test_a_nonlinear_analysis_is_a_stationary_point_of_the_posterior(errors):
    covariance, how = Covariance.fit(errors), Shape(np.inf, 0.0, 1.0)
    observed = network("wind_speed").measure(np.random.default_rng(2), STATE[0], np.array([1.0]))
    background = STATE[1:]
    analysis, _ = covariance.analyse(background, observed, how)
    ph, _ = covariance.products(observed, observed.slopes(observed.values(analysis)[:, 0]), how)
    # x = b + P H^T R^-1 (y - h(x)) where the slope of the log-density is 0
    pull = ph @ ((observed.y - observed.predict(analysis)[0]) / observed.error**2)
    moved = (analysis - background).ravel()
    assert np.abs(moved - pull).max() < 0.02 * np.abs(moved).max()


def test_the_last_linearisation_is_at_the_analysis_under_a_taper_too(errors):
    covariance, how = Covariance.fit(errors), Shape(2.0, 0.05, 1.0)
    observed = network("wind_speed").measure(np.random.default_rng(2), STATE[0], np.array([1.0]))
    before = observed.values(STATE[1:])
    at = covariance._nearest(before[:, 0], observed.y, observed, how)
    after = observed.values(covariance.analyse(STATE[1:], observed, how)[0])[:, 0]
    assert np.abs(after - at).max() < 0.02 * np.abs(after - before[:, 0]).max()


def test_gross_errors_are_found_by_their_departure():
    observed = network("z").observed(np.array([[10.0], [10.0], [30.0]]), 1.0)
    background = np.stack([np.full(SHAPE, -0.5), np.full(SHAPE, 0.5)])  # z of 9 and 11: spread sqrt 2
    assert np.allclose(departures(observed, background), [0, 0, 20 / 3**0.5])
    kept, gross = checked(observed, background, 5.0)
    assert gross.tolist() == [False, False, True] and kept.there.tolist() == [True, True, False]
    assert not checked(observed, background, np.inf)[1].any()
