"""Ensemble scores against closed forms, double sums written out, `scores` and `properscoring`."""

import jax
import jax.numpy as jnp
import numpy as np
import properscoring
import pytest
import scores.probability
import xarray as xr
from scipy import stats

from genkit import metrics
from genkit.metrics.sorting import sort_members

crps = jax.jit(metrics.crps, static_argnames=("axis", "reduce"))
energy_score = jax.jit(metrics.energy_score, static_argnames=("fair", "axis", "vector", "reduce"))
variogram_score = jax.jit(metrics.variogram_score, static_argnames=("radius", "axis", "reduce"))

CASES = [
    # members, truth, biased, fair
    ([0, 1, 2], 1.5, 0.388889, 0.166667),
    ([0, 0, 3, 5], 1, 0.875, 0.5),
    ([-1, 2], 4, 2.75, 2.0),
    ([1, 1, 1, 1], 3, 2, 2),
    ([1, 2, 4], 3, None, 1 / 3),
    ([0, 1], 0.5, None, 0),
    ([0.3, -1.2, 2.5, 0.9, 0.1], 0.4, None, 0.1),
]


@pytest.mark.parametrize(("members", "truth", "biased", "fair"), CASES)
def test_crps_by_hand(members, truth, biased, fair):
    x = np.float32(members)
    assert crps(x, truth) == pytest.approx(fair, abs=1e-6)
    if biased is not None:
        assert crps(x, truth, fair=False) == pytest.approx(biased, abs=1e-6)


def test_crps_of_one_member_is_the_absolute_error():
    assert crps(np.float32([[2.0]]), np.float32([5.0])) == pytest.approx(3)


@pytest.mark.parametrize("m", [2, 5, 8, 13])
def test_crps_agrees_with_peers(m):
    rng = np.random.default_rng(m)
    ens = rng.normal(size=(6, 4, m)).astype(np.float32)
    obs = rng.normal(size=(6, 4)).astype(np.float32)
    biased = crps(ens, obs, fair=False, axis=-1, reduce=())
    np.testing.assert_allclose(biased, properscoring.crps_ensemble(obs, ens), atol=1e-6)
    x, y = xr.DataArray(ens, dims=("a", "b", "m")), xr.DataArray(obs, dims=("a", "b"))
    for fair, method in ((False, "ecdf"), (True, "fair")):
        expected = scores.probability.crps_for_ensemble(x, y, "m", method=method, preserve_dims="all")
        np.testing.assert_allclose(crps(ens, obs, fair=fair, axis=-1, reduce=()), expected, atol=1e-6)


def test_crps_almost_fair_is_its_double_sum():
    x, y, alpha = np.float32([0.3, -1.2, 2.5, 0.9]), 0.4, 0.95
    m, eps = 4, (1 - alpha) / 4
    total = sum(
        abs(x[i] - y) + abs(x[j] - y) - (1 - eps) * abs(x[i] - x[j]) for i in range(m) for j in range(m) if i != j
    )
    assert crps(x, y, fair=alpha) == pytest.approx(total / (2 * m * (m - 1)), abs=1e-6)


@pytest.mark.parametrize(("m", "biased"), [(5, 0.677028), (10, 0.620609)])
def test_crps_of_a_calibrated_ensemble(m, biased):
    draws = np.random.default_rng(0).normal(size=(m + 1, 400_000)).astype(np.float32)
    assert crps(draws[1:], draws[0]) == pytest.approx(0.564190, abs=3e-3)
    assert crps(draws[1:], draws[0], fair=False) == pytest.approx(biased, abs=3e-3)


def test_crps_keeps_its_digits_on_a_large_field():
    rng = np.random.default_rng(3)
    ens = (3e5 + 0.25 * rng.integers(-40, 40, (7, 500))).astype(np.float32)
    obs = (3e5 + 0.25 * rng.integers(-40, 40, 500)).astype(np.float32)
    expected = properscoring.crps_ensemble(obs.astype(float), ens.astype(float), axis=0).mean()
    assert crps(ens, obs, fair=False) == pytest.approx(expected, rel=1e-6)


def test_crps_has_the_right_gradient():
    # Fair, M = 2: |x1 - y|/2 + |x2 - y|/2 - |x1 - x2|/2 with x1 < x2 < y is -x1/2 - x2/2 + x1/2 - x2/2 + y.
    gradient = jax.grad(lambda x: crps(x, 3.0))(jnp.float32([1.0, 2.0]))
    np.testing.assert_allclose(gradient, [0, -1], atol=1e-6)


@pytest.mark.parametrize("m", [1, 2, 3, 8, 11, 16])
def test_sorting_network(m):
    x = np.random.default_rng(m).integers(0, 6, (m, 5)).astype(np.float32)
    np.testing.assert_array_equal(sort_members(jnp.asarray(x)), np.sort(x, axis=0))


@pytest.mark.parametrize(
    ("y", "mean", "std", "expected"),
    [(0, 0, 1, 0.9189385332), (1, 0, 1, 1.4189385332), (-0.5, 1.5, 2, 2.1120857138)],
)
def test_nll_gaussian(y, mean, std, expected):
    assert metrics.nll_gaussian(mean, std, float(y)) == pytest.approx(expected, abs=1e-6)
    assert -stats.norm.logpdf(y, mean, std) == pytest.approx(expected, abs=1e-9)


def test_spread_skill_by_hand():
    ens, obs = np.float32([[0, 0], [2, 6]]), np.float32([1, 4])
    # Variances 2 and 18, errors of the mean 0 and -1.
    assert metrics.spread(ens) == pytest.approx(10**0.5)
    assert metrics.mean_mse(ens, obs, fair=False) == pytest.approx(0.5)
    assert metrics.mean_mse(ens, obs) == pytest.approx(0.5 - 5)
    assert metrics.spread_skill_ratio(ens, obs) == pytest.approx((1.5 * 10 / 0.5) ** 0.5)
    only_first = metrics.spread(ens, weights=np.float32([1, 0]))
    assert only_first == pytest.approx(2**0.5)


def test_spread_skill_of_a_calibrated_ensemble():
    draws = np.random.default_rng(0).normal(size=(6, 300_000)).astype(np.float32)
    assert metrics.spread(draws[1:]) == pytest.approx(1, abs=5e-3)
    assert metrics.rmse(draws[1:].mean(0), draws[0]) == pytest.approx(1.0954, abs=5e-3)
    assert metrics.spread_skill_ratio(draws[1:], draws[0]) == pytest.approx(1, abs=5e-3)
    assert metrics.mean_mse(draws[1:], draws[0]) == pytest.approx(1, abs=1e-2)


TRIPLE = np.float32([[0, 0], [1, 0], [0, 2]])


def test_energy_score_by_hand():
    y = np.float32([1, 1])
    assert energy_score(TRIPLE, y, fair=False) == pytest.approx(0.694357, abs=1e-6)
    assert energy_score(TRIPLE, y) == pytest.approx(0.403464, abs=1e-6)


def test_energy_score_of_a_scalar_is_the_crps():
    rng = np.random.default_rng(0)
    ens, obs = rng.normal(size=(6, 9, 1)).astype(np.float32), rng.normal(size=(9, 1)).astype(np.float32)
    for fair in (True, False):
        expected = crps(ens, obs, fair=fair)
        assert energy_score(ens, obs, fair=fair) == pytest.approx(float(expected), abs=1e-6)


def test_energy_score_of_two_vector_axes_with_weights():
    rng = np.random.default_rng(0)
    ens, obs = rng.normal(size=(4, 5, 2, 3)), rng.normal(size=(5, 2, 3))
    weights = rng.uniform(size=(2, 1))
    a = np.broadcast_to(weights / weights.mean(), (2, 3))
    distance = lambda d: np.sqrt((a * d**2).sum(axis=(-2, -1)))  # noqa: E731
    pairs = distance(ens[:, None] - ens[None]).sum(axis=(0, 1))
    expected = distance(ens - obs).mean(axis=0) - pairs / (2 * 4 * 3)
    score = energy_score(ens, obs, weights, vector=(-2, -1), reduce=())
    np.testing.assert_allclose(score, expected, rtol=1e-5)
    assert np.isfinite(jax.grad(lambda e: energy_score(e, obs, vector=(-2, -1)))(jnp.asarray(ens))).all()


def test_variogram_score_by_hand():
    score = variogram_score(TRIPLE[:, None, :], np.float32([[1, 1]]), radius=1)
    assert score == pytest.approx(1.295206, abs=1e-6)


def test_variogram_score_is_its_double_sum():
    rng = np.random.default_rng(0)
    ens, obs = rng.normal(size=(3, 2, 4, 5)), rng.normal(size=(2, 4, 5))
    cells = [(i, j) for i in range(4) for j in range(5)]
    expected = np.zeros(2)
    for a in cells:
        for b in cells:
            distance = np.hypot(a[0] - b[0], a[1] - b[1])
            if 0 < distance <= 2.3:
                member = np.sqrt(np.abs(ens[(..., *a)] - ens[(..., *b)])).mean(axis=0)
                expected += (np.sqrt(np.abs(obs[(..., *a)] - obs[(..., *b)])) - member) ** 2 / distance
    score = variogram_score(ens, obs, radius=2.3, reduce=())
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_jit_and_vmap_over_variables():
    rng = np.random.default_rng(0)
    ens, obs = rng.normal(size=(5, 8, 3)).astype(np.float32), rng.normal(size=(8, 3)).astype(np.float32)
    each = jax.jit(jax.vmap(metrics.crps, in_axes=(-1, -1)))(ens, obs)
    np.testing.assert_allclose(each, crps(ens, obs, reduce=0), atol=1e-6)
