"""Optimal interpolation and ensemble filters against the Kalman filter, exactly."""

import numpy as np
import pytest

from genkit_weather.assimilation import distances, etkf, interpolate, letkf, taper

RNG = np.random.default_rng(0)
D, M, N = 5, 12, 7  # numbers of the state, observations, members
ROWS = RNG.standard_normal((M, D))
ERROR = RNG.uniform(0.3, 2.0, M)
Y = RNG.standard_normal(M)


def kalman(mean, covariance, rows=ROWS, error=ERROR, y=Y):
    """Information form: (P^-1 + H^T R^-1 H)^-1."""
    information = rows.T / error**2
    after = np.linalg.inv(np.linalg.inv(covariance) + information @ rows)
    return mean + after @ information @ (y - rows @ mean), after


def test_interpolation_is_the_gaussian_posterior_and_leaves_out_what_is_missing():
    root = RNG.standard_normal((D, D))
    covariance, mean = root @ root.T, RNG.standard_normal(D)
    ph, hph = covariance @ ROWS.T, ROWS @ covariance @ ROWS.T
    analysis, explained = interpolate(mean, Y - ROWS @ mean, ph, hph, ERROR)
    exact, after = kalman(mean, covariance)
    assert np.allclose(analysis, exact) and np.allclose(np.diag(covariance) - explained, np.diag(after))
    missing = np.where(np.arange(M) < 4, np.inf, ERROR)
    exact, after = kalman(mean, covariance, ROWS[4:], ERROR[4:], Y[4:])
    analysis, explained = interpolate(mean, Y - ROWS @ mean, ph, hph, missing)
    assert np.allclose(analysis, exact) and np.allclose(np.diag(covariance) - explained, np.diag(after))


def test_draws_with_perturbed_departures_have_the_posterior_covariance():
    root = RNG.standard_normal((D, D))
    covariance = root @ root.T
    ph, hph = covariance @ ROWS.T, ROWS @ covariance @ ROWS.T
    # the analysis is linear: of unit vectors of what is drawn it gives the columns of its square root
    drawn = np.concatenate([np.linalg.cholesky(covariance).T, np.zeros((M, D))])
    noise = np.concatenate([np.zeros((D, M)), np.diag(ERROR)])
    moved, _ = interpolate(drawn, -(drawn @ ROWS.T) - noise, ph, hph, ERROR)
    assert np.allclose(moved.T @ moved, kalman(np.zeros(D), covariance)[1])


def test_the_etkf_is_the_kalman_filter_of_its_ensemble():
    ensemble = RNG.standard_normal((N, D)) @ RNG.standard_normal((D, D)) + 3
    analysis = etkf(ensemble, ensemble @ ROWS.T, Y, ERROR)
    mean, after = kalman(ensemble.mean(0), np.cov(ensemble.T))
    assert np.allclose(analysis.mean(0), mean) and np.allclose(np.cov(analysis.T), after)
    inflated = etkf(ensemble, ensemble @ ROWS.T, Y, ERROR, 1.5)
    mean, after = kalman(ensemble.mean(0), 1.5**2 * np.cov(ensemble.T))
    assert np.allclose(inflated.mean(0), mean) and np.allclose(np.cov(inflated.T), after)


def test_the_letkf_is_an_etkf_at_each_site_with_errors_over_the_root_of_the_taper():
    ensemble, near = RNG.standard_normal((N, 4, 3)), RNG.uniform(0, 1, (4, M))
    near[2] = 1
    predicted = np.einsum("nsv,msv->nm", ensemble, RNG.standard_normal((M, 4, 3)))
    analysis = letkf(ensemble, predicted, Y, ERROR, near, 1.1)
    for site in range(4):
        alone = etkf(ensemble[:, site], predicted, Y, ERROR / np.sqrt(near[site]), 1.1)
        assert np.allclose(analysis[:, site], alone)


@pytest.mark.parametrize("method", ["oi", "etkf", "letkf"])
def test_order_does_not_matter_and_useless_observations_do_nothing(method):
    ensemble = RNG.standard_normal((N, D))

    def analyse(rows, y, error):
        predicted = ensemble @ rows.T
        if method == "oi":
            return interpolate(ensemble, y - predicted, rows.T, rows @ rows.T, error)[0]
        if method == "etkf":
            return etkf(ensemble, predicted, y, error)
        return letkf(ensemble[..., None], predicted, y, error, np.full((D, M), 0.5))[..., 0]

    turned = RNG.permutation(M)
    assert np.allclose(analyse(ROWS, Y, ERROR), analyse(ROWS[turned], Y[turned], ERROR[turned]))
    assert np.allclose(analyse(ROWS, Y, np.full(M, 1e6)), ensemble, atol=1e-8)
    assert np.allclose(analyse(ROWS, Y, np.full(M, np.inf)), ensemble)


def test_distances_round_a_ring_and_the_taper():
    places = np.array([[0.0, 0.0], [3.0, 9.0]])
    assert distances(places, places)[0, 1] == pytest.approx(90**0.5)
    assert distances(places, places, (0, 10))[0, 1] == pytest.approx(10**0.5)
    assert taper(np.array([0.0, 2.0]), 2.0) == pytest.approx([1, np.exp(-0.5)])
    assert taper(np.array([0.0, 1e9]), np.inf) == pytest.approx([1, 1])
