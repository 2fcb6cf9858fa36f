"""Particle filters of a linear-Gaussian model against the Kalman filter."""

import os
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import Model, run, start
from genkit.smc import Resample
from genkit.testing import LinearGaussian, check_kernel

KEY = jax.random.key(0)
LG = LinearGaussian()
Y = np.sin(np.arange(1, 51))
ALWAYS = Resample(threshold=1.0)
EXACT = -58.25313898863537


def log_z(model, n, runs, resample=ALWAYS):
    """(runs,) estimates."""

    def one(key):
        return run(key, start(key, model, n), model.stages, resample)[0].log_z

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, runs)), np.float64)


def test_kalman():
    """Against the joint density, and figures computed apart."""
    loglik, mean, variance = LG.kalman_filter(Y)
    assert abs(loglik - EXACT) < 1e-11
    np.testing.assert_allclose((mean[-1], variance[-1]), (-0.2842633028734869, 0.038506334259372284), rtol=1e-12)
    other = LinearGaussian(sx=0.5**0.5, sy=1.0, v0=1.0)
    assert abs(other.kalman_loglik(np.array([0.5, -0.3, 1.2, 0.8, -1.0])) + 7.426791615629888) < 1e-12
    lags = np.abs(np.subtract.outer(np.arange(50), np.arange(50)))
    cov = 0.9**lags / 0.19
    gain = np.linalg.solve(cov + 0.04 * np.eye(50), cov).T
    smooth = LG.smoother(Y)
    np.testing.assert_allclose(smooth[0], gain @ Y, rtol=1e-10)
    np.testing.assert_allclose(smooth[1], np.diag(cov - gain @ cov), rtol=1e-10)


def test_kalman_of_the_series_of_particles():
    folder = Path(os.environ.get("GENKIT_DATA", "")) / "smc"
    file = folder / "simulated_linGauss_T100_varX1_varY.04_rho.9.txt"
    if not file.is_file():
        pytest.skip(f"no {file}")
    assert abs(LG.kalman_loglik(np.loadtxt(file)) + 149.381241203791) < 1e-10


def test_twisted_by_the_optimum_is_exact_with_one_particle():
    with jax.enable_x64(True):
        model = LG.twisted(Y, LG.information(Y))
        for n, resample in ((1, None), (4, Resample())):
            np.testing.assert_allclose(log_z(model, n, 3, resample), EXACT, atol=1e-9)


def test_spread_of_bootstrap_and_guided():
    boot = log_z(LG.bootstrap(Y), 1000, 200)
    guided = log_z(LG.guided(Y), 1000, 200)
    assert abs(boot.mean() + 58.36) < 4 * 0.42 / 200**0.5 + 0.01 and abs(boot.std() - 0.42) < 4 * 0.42 / 400**0.5
    assert abs(guided.mean() - EXACT) < 0.01 + guided.std() / 200**0.5 * 4
    assert guided.std() < boot.std() / 2


@pytest.mark.parametrize("name", ["multinomial", "ssp", "killing"])
def test_evidence_is_unbiased(name):
    y = Y[:6]
    ratio = np.exp(log_z(LG.bootstrap(y), 100, 1000, Resample(name)) - LG.kalman_loglik(y))
    assert abs(np.log(ratio.mean())) < 4 * ratio.std() / 1000**0.5
    assert ratio.std() > 0.05


@pytest.mark.parametrize("name", ["systematic", "residual", "ssp", "conditional_killing"])
def test_collapse_is_flagged(name):
    """An observation that no particle can explain."""
    y = np.where(np.arange(6) == 3, np.inf, Y[:6])
    model = LG.bootstrap(y)
    state, _ = run(KEY, start(KEY, model, 8), model.stages, Resample(name))
    assert state.collapsed and state.log_z == -jnp.inf
    assert np.isfinite(state.p).all() and not np.isnan(state.log_w).any()


def test_gradient_through_resampling_is_the_score():
    """d log p(y) / d sy; without the correction the gradient of log_z sees only the last generation."""
    y, h = Y[:10], 1e-5
    exact = (LinearGaussian(sy=0.5 + h).kalman_loglik(y) - LinearGaussian(sy=0.5 - h).kalman_loglik(y)) / (2 * h)

    def gradient(differentiable):
        def one(sy, key):
            model = LinearGaussian(sy=0.5).bootstrap(y)
            kernel = replace(model.stages[0][0], sy=sy)
            model = Model(replace(model.init, kernel=kernel), ((kernel, model.stages[0][1]),))
            resample = Resample(threshold=1.0, differentiable=differentiable)
            return run(key, start(key, model, 300), model.stages, resample)[0].log_z

        grads = jax.jit(jax.vmap(jax.grad(one), (None, 0)))(0.5, jax.random.split(KEY, 100))
        return np.mean(grads), np.std(grads) / 10

    mean, error = gradient(True)
    assert abs(mean - exact) < 4 * error + 0.02 * abs(exact)
    mean, error = gradient(False)
    assert abs(mean - exact) > 8 * error


def test_kernels():
    x = jnp.array([0.3, -1.0, 2.0])
    check_kernel(LG.bootstrap(Y).stages[0][0], x, jnp.float32(0.4))
    kernel, (y, psi) = LG.guided(Y).stages[0]
    check_kernel(kernel, x, (jnp.float32(y[0]), jax.tree.map(lambda a: jnp.float32(a[0]), psi)))
