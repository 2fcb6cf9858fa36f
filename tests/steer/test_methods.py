"""What every method for diffusion promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from genkit.diffusion import EDM, VP, Cosine
from genkit.errors import UsageError
from genkit.steer import (
    DAPS,
    DDSMC,
    DPS,
    METHODS,
    MMPS,
    TDS,
    Bernoulli,
    ESSFlow,
    MCGDiff,
    PiGDM,
    Poisson,
    dense,
    function,
    observe,
    posterior,
)
from genkit.steer.guided import solve
from genkit.testing import gaussian_denoiser

MATRIX = np.array([[0.48, 0.64]])
ALONG, ACROSS = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
PRIOR = gaussian_denoiser(process=VP())


def small(method):
    """A short chain."""
    return method(steps=6, **({"moves": 8} if method is ESSFlow else {}))


@pytest.mark.parametrize("method", METHODS)
def test_groups_have_their_own_observation_in_any_chunks(method):
    one, other = (observe(dense(MATRIX), [y], 0.5) for y in (2.0, -4.0))

    @jax.jit
    def draw(key, observations):
        return posterior(key, small(method), PRIOR, observations, groups=2, particles=3, chunk=1)

    mixed, same = draw(jax.random.key(0), [one, other]), draw(jax.random.key(0), [other, other])
    np.testing.assert_array_equal(mixed.x[1], same.x[1])
    assert np.abs(mixed.x[0] - same.x[0]).max() > 1e-3 and np.isfinite(mixed.x).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_cannot_take_is_said(method):
    """All others are drawn, in one chain of a problem without singular values, of counts, and without noise."""
    linear, any_noise = {"DPS", "TDS", "DAPS", "ESSFlow"}, {"DPS", "MMPS", "PiGDM", "DAPS", "DDRM", "REDDiff"}
    taken = {
        "singular values": linear | {"MMPS", "PiGDM", "REDDiff"}, "normal noise": linear, "noise": any_noise
    }  # fmt: skip
    f = function(jnp.tanh, (2,))
    problems = {
        "singular values": observe(f, [0.5, 0.1], 0.1), "normal noise": observe(f, [1, 0], Poisson()),
        "noise": observe(dense(MATRIX), [1.0], 0.0),
    }  # fmt: skip
    for need, problem in problems.items():
        table = small(method).table(VP())
        if method.__name__ in taken[need]:
            table.check(problem)
        else:
            with pytest.raises(UsageError, match=f"{method.__name__} needs .*; take "):
                table.check(problem)


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
        assert left.max() < 1e-7
        turned = matrix + 3 * (root - root.swapaxes(1, 2))  # not symmetric: it is told
        _, left = solve(lambda v: jnp.einsum("nij,nj->ni", turned, v), jnp.asarray(b), 4)
    assert left[0] == 0 and left[1:].max() > 1e-3


def test_ess_flow_on_a_gaussian():
    """x_0 = f xi along each coordinate: the posterior of the flow's own data; the first moves are forgotten."""
    method = ESSFlow(steps=10, sigma_min=0.05, sigma_max=20.0, moves=25)
    levels = method.levels(EDM())
    path = [*levels.s, 0.0]
    v = (levels.start * np.prod([(1 + a * b) / (1 + a**2) for a, b in zip(path, path[1:], strict=False)])) ** 2
    draws = posterior(
        jax.random.key(0), method, gaussian_denoiser(), observe(dense(MATRIX), [1.0], 0.3), groups=8000, particles=1
    )
    x, exact = np.asarray(draws.x[:, 0]), 1 / (1 / v + 0.64 / 0.09)
    assert (x @ ALONG).mean() == pytest.approx(0.8 / 0.09 * exact, abs=4 * (exact / 8000) ** 0.5)
    assert (x @ ALONG).var() == pytest.approx(exact, rel=0.07)
    assert (x @ ACROSS).var() == pytest.approx(v, rel=0.07)
    assert not draws.said["stuck"].any() and (draws.said["calls"] > 25).all()


def test_ess_flow_takes_a_step():
    """A measurement without a derivative: logits of 2 and -2 by the sign of x."""
    sign = function(lambda x: 2 * jnp.sign(x), (1,))
    method = ESSFlow(steps=6, sigma_min=0.1, sigma_max=10.0, moves=10)
    draws = posterior(
        jax.random.key(0), method, gaussian_denoiser(), observe(sign, [1], Bernoulli()), groups=4000, particles=1
    )
    p = 1 / (1 + np.exp(-2))
    assert (draws.x > 0).mean() == pytest.approx(p, abs=4 * (p * (1 - p) / 4000) ** 0.5)


def test_tds_on_counts():
    """The evidence of a chain whose data are N(0, v), by quadrature, and the mean of its posterior."""
    steps = 12
    times = tuple(k / (steps + 1) for k in range(steps, 0, -1))
    v = DDSMC(times=times, eta=1.0).prior_std(Cosine()) ** 2
    observation = observe(function(jnp.exp, (1,)), [3.0], Poisson())

    def joint(x):
        return stats.poisson.pmf(3, np.exp(x)) * stats.norm.pdf(x, 0, v**0.5)

    z = integrate.quad(joint, -8, 8)[0]
    mean = integrate.quad(lambda x: x * joint(x), -8, 8)[0] / z
    draws = posterior(
        jax.random.key(0), TDS(times=times), gaussian_denoiser(process=Cosine()), observation, 400, 100, draws=20
    )
    w = np.exp(draws.log_z) / z
    assert abs(w.mean() - 1) < 4 * w.std() / 20 and w.std() / 20 < 0.01
    gap = (np.asarray(draws.x)[..., 0].mean(1) - mean) * w
    assert abs(gap.mean()) < 4 * gap.std() / 20


def test_daps_by_langevin_steps():
    """With short steps the draw given y is that of the exact one, where both numbers are measured."""
    options = {"steps": 6, "sigma_min": 0.2, "sigma_max": 10.0, "rate": 0.05, "last_rate": 1.0, "langevin": 200}
    matrix, found = np.array([[0.48, 0.64], [-0.4, 0.3]]), []
    for operator in (dense(matrix), function(lambda x: x @ jnp.asarray(matrix.T, x.dtype), (2,))):
        observation = observe(operator, [1.0, 0.5], [0.5, 0.4])
        draws = posterior(jax.random.key(0), DAPS(**options), PRIOR, observation, groups=10_000, particles=1)
        x = np.asarray(draws.x[:, 0])
        found.append([*x.mean(0), *x.std(0)])
    np.testing.assert_allclose(found[1], found[0], atol=0.04)


@pytest.mark.parametrize("v", [1.0, 1e-2, 1e-4])
def test_mcgdiff_on_coordinates_that_say_little(v):
    """A = diag(1, v), data N(0, I): log p(y) however small v is; the highest level here is 10."""
    std, y = 0.3, np.array([0.5, 0.1])
    exact = stats.norm.logpdf(y, 0, np.sqrt(std**2 + np.array([1, v]) ** 2)).sum()
    method = MCGDiff(steps=60, sigma_max=10.0, sigma_min=0.02, kappa=0.3)
    draws = posterior(jax.random.key(0), method, PRIOR, observe(dense(np.diag([1, v])), y, std), 100, 500)
    assert float(draws.log_z.mean()) == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize(("eta", "recon", "expected"), [
    (0.0, "tweedie", {20: 0.629, 40: 0.665}), (0.5, "tweedie", {20: 0.696, 40: 0.751}),
    (1.0, "tweedie", {20: 0.798, 40: 0.890}),
])  # fmt: skip
def test_the_chain_of_ddsmc_is_narrower_than_the_data(eta, recon, expected):
    for steps, std in expected.items():
        assert DDSMC(steps=steps, eta=eta, recon=recon).prior_std(VP()) == pytest.approx(std, abs=6e-4)
