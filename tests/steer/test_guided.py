"""DPS, PiGDM and MMPS, each by what it promises, and the denoisers that they guide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import start
from genkit.diffusion import EDM, VP, Flow, Heun, sample
from genkit.errors import UsageError
from genkit.steer import (
    DPS,
    MMPS,
    TDS,
    PiGDM,
    Poisson,
    dense,
    function,
    observe,
    posterior,
)
from genkit.steer.guided import solve
from genkit.testing import gaussian_denoiser, gmm_denoiser

OBSERVATION = observe(dense([[0.48, 0.64]]), [1.0], 0.5)


@pytest.mark.parametrize(("eta", "steps"), [(0.0, 150), (1.0, 600)])  # the noise makes it converge more slowly
def test_pigdm_is_exact_for_gaussian_data_in_the_limit_of_small_steps(eta, steps):
    """Prior N(0, 4 I), measured 0.8 along one direction: variance 1 / (1 / 4 + 0.64 / 0.25) and mean 3.2 times it."""
    method = PiGDM(steps=steps, sigma_min=0.01, eta=eta, spread=2.0)
    prior = gaussian_denoiser(std=2.0, process=VP())
    draws = posterior(jax.random.key(0), method, prior, OBSERVATION, groups=20_000, particles=1)
    along, across = draws.x[:, 0] @ jnp.array([0.6, 0.8]), draws.x[:, 0] @ jnp.array([-0.8, 0.6])
    variance = 1 / (1 / 4 + 0.64 / 0.25)
    assert along.mean() == pytest.approx(0.8 / 0.25 * variance, abs=0.02)
    assert along.var() == pytest.approx(variance, rel=0.05)
    assert across.var() == pytest.approx(4.0, rel=0.05)
    assert np.isnan(draws.log_z).all()


def test_a_step_of_dps():
    """x' = the ancestral step - scale grad |y - A D|, in the units of x, with the gradient by jax."""
    prior = gmm_denoiser([0.4, 0.6], [[-1.0, 0.5], [1.0, 0.0]], std=[0.5, 0.7], process=VP())
    t, t1, scale = 0.6, 0.4, 0.3
    a, a1 = (float(VP().alpha(u)) for u in (t, t1))
    s, s1 = (float(VP().ratio(u)) for u in (t, t1))
    with jax.enable_x64(True):
        model = DPS(times=(t, t1), scale=scale).model(prior, OBSERVATION)
        p = start(jax.random.key(0), model, 5).p
        kernel, inputs = model.stages[0]
        u = jax.tree.map(lambda v: jnp.asarray(v[0]), inputs)
        keys = jax.random.split(jax.random.key(1), 5)
        operator = OBSERVATION.operator
        after = operator.from_basis(kernel.move(keys, p, u).z) * a1
        x = operator.from_basis(p.z) * a
        noise = s1 * np.sqrt(s**2 - s1**2) / s * operator.from_basis(kernel.basis.noise(keys))

        def distance(x):
            return jnp.linalg.norm(OBSERVATION.y - operator(prior(x, jnp.asarray(t))), axis=1).sum()

        mean = prior(x, jnp.asarray(t)) + s1**2 / s**2 * (x / a - prior(x, jnp.asarray(t)))
        expected = a1 * (mean + noise) - scale * jax.grad(distance)(x)
        np.testing.assert_allclose(after, expected, atol=1e-10)


PRIOR = np.array([[1.0, 0.3], [0.3, 0.5]])


SUM = observe(dense([[1.0, 1.0]]), [1.0], 0.2)


def law_given(prior):
    """Mean and covariance of x given SUM."""
    gain = prior @ np.ones(2) / (prior.sum() + 0.04)
    return gain, prior - np.outer(gain, prior.sum(0))


@pytest.mark.parametrize("process", [EDM(), VP(), Flow()], ids=lambda p: type(p).__name__)
def test_guided_denoisers_are_exact(process):
    """MMPS for any Gaussian, PiGDM for a round one, at times of each item and at one time."""
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (3, 2))
        times = jnp.asarray(process.time(np.array([0.05, 1.0, 20.0])))
        for t in (times, times[1]):
            for method, cov in ((MMPS(), PRIOR), (PiGDM(spread=0.7), 0.49 * np.eye(2))):
                guided = method.guidance(SUM)(gaussian_denoiser(0.0, cov=cov, process=process))
                mean, left = law_given(cov)
                expected = gaussian_denoiser(mean, cov=left, process=process)(x, t)
                np.testing.assert_allclose(guided(x, t), expected, rtol=1e-7, atol=1e-9)


def test_guided_denoisers_serve_any_sampler():
    guided = MMPS(iterations=1).guidance(SUM)(gaussian_denoiser(0.0, cov=PRIOR))
    x = sample(jax.random.key(0), Heun(40, 0.002), guided, (20_000, 2))
    mean, cov = law_given(PRIOR)
    np.testing.assert_allclose(x.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.015)
    with pytest.raises(UsageError, match="MMPS needs normal noise"):
        MMPS().guidance(observe(dense([[1.0, 1.0]]), [1], Poisson()))(gaussian_denoiser())(x, jnp.asarray(1.0))


MATRIX = np.array([[0.48, 0.64]])


def test_mmps_is_exact_for_gaussian_data_in_the_limit_of_small_steps():
    """Of any covariance, where PiGDM knows one variance: the mean and covariance of the posterior."""
    c, s = np.cos(0.4), np.sin(0.4)
    turn = np.array([[c, -s], [s, c]])
    cov = turn @ np.diag([4.0, 0.25]) @ turn.T
    prior = gaussian_denoiser(cov=cov, process=VP())
    exact = np.linalg.inv(np.linalg.inv(cov) + MATRIX.T @ MATRIX / 0.25)
    method = MMPS(steps=150, sigma_min=0.01, eta=0.0, iterations=1)  # one number is measured
    observation = observe(dense(MATRIX), [1.0], 0.5)
    draws = posterior(jax.random.key(0), method, prior, observation, groups=20_000, particles=1)
    x = np.asarray(draws.x[:, 0])
    np.testing.assert_allclose(x.mean(0), exact @ MATRIX[0] / 0.25, atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), exact, atol=0.05)
    assert float(draws.said["residual"].max()) < 1e-4


def test_conjugate_gradients():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 4, 4))
    matrix, b = root @ root.swapaxes(1, 2) + 0.1 * np.eye(4), rng.normal(size=(5, 4))
    b[0] = 0
    with jax.enable_x64(True):
        x, left = solve(lambda v: jnp.einsum("nij,nj->ni", matrix, v), jnp.asarray(b), 4)
        np.testing.assert_allclose(x, np.linalg.solve(matrix, b[..., None])[..., 0], atol=1e-8)
        assert np.asarray(left).max() < 1e-7
        turned = matrix + 3 * (root - root.swapaxes(1, 2))  # not symmetric: it is told
        _, left = solve(lambda v: jnp.einsum("nij,nj->ni", turned, v), jnp.asarray(b), 4)
    left = np.asarray(left)
    assert left[0] == 0 and left[1:].max() > 1e-3


@pytest.mark.parametrize("method", [DPS(scale=0.3), PiGDM(spread=2.0), MMPS(), TDS(clip=None)])
def test_functions_and_matrices_guide_alike(method):
    """At one state, of two measured numbers with their own noise, the guided item is the same."""
    rng = np.random.default_rng(0)
    matrix, std = rng.normal(size=(2, 4)), np.array([0.3, 1.2])
    cov = np.diag([1.0, 0.5, 2.0, 0.1])
    prior = gaussian_denoiser(cov=cov, process=VP())
    found = []
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(3, 4)))
        for operator in (dense(matrix), function(lambda x: x @ jnp.asarray(matrix.T), (4,))):
            model = method.table(VP()).model(prior, observe(operator, np.array([1.0, -1.0]), std))
            kernel, u = model.stages[0]
            arrival = jax.tree.map(lambda a: jnp.asarray(a)[5], u.arrival)
            extra = () if isinstance(method, TDS) else (jnp.zeros(3),)
            basis = kernel.basis.observation.operator
            p = kernel.arrive(basis.to_basis(x), arrival, *extra)
            found.append(basis.from_basis(p.x0 + (p.pull if isinstance(method, TDS) else 0.0)))
    np.testing.assert_allclose(*found, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PiGDM(spread=0.0), "spread=0.0"),
        (lambda: DPS(scale=0.0), "scale=0.0"),
        (lambda: MMPS(iterations=0), "iterations=0"),
        (lambda: MMPS(eta=2.0).table(EDM()), "eta=2.0"),
    ],
)
def test_wrong_options(make, says):
    with pytest.raises(UsageError, match=says):
        make()
