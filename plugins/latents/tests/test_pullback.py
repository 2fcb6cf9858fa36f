"""Metrics of decoders and of data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_latents.geometry import likelihoods
from genkit_latents.geometry import metric as m
from genkit_latents.geometry.ambient import InverseDensity, LocalDiagonalPCA, RBFCost, WeightedAverage, local_lda
from genkit_latents.geometry.geodesics import Energy, Refined
from genkit_latents.geometry.paths import length, shoot, straight
from genkit_latents.geometry.pullback import Ensemble, FisherRao, Pullback, stochastic


def paraboloid(z):
    return jnp.array([z[0], z[1], z @ z])


def roll(z):  # an isometric immersion of the strip: radius 1 cylinder
    return jnp.array([jnp.cos(z[0]), jnp.sin(z[0]), z[1]])


def test_pull_backs_of_surfaces():
    with jax.enable_x64(True):
        z, v = jnp.array([0.4, -0.3]), jnp.array([0.2, 1.0])
        metric = Pullback(paraboloid)
        np.testing.assert_allclose(metric.G(z), np.eye(2) + 4 * np.outer(z, z), rtol=1e-14)
        assert metric.square(z, v) == pytest.approx(float(v @ metric.G(z) @ v), rel=1e-13)
        known = jax.jit(Refined())(metric, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
        assert known.converged and known.length == pytest.approx(1.53733041847, rel=1e-6)
        rolled = jax.jit(Energy(16))(Pullback(roll), jnp.array([0.0, 0.0]), jnp.array([1.0, 0.5]))
        np.testing.assert_allclose(rolled.curve, straight(rolled.curve[0], rolled.curve[-1], 16), atol=1e-8)
        ambient = m.Diagonal(lambda x: 1 + x**2)
        j = jax.jacfwd(paraboloid)(z)
        weighed = Pullback(paraboloid, ambient)
        np.testing.assert_allclose(weighed.G(z), j.T @ np.diag(1 + paraboloid(z) ** 2) @ j, rtol=1e-13)
        assert weighed.chord(z, z + 1e-4 * v) == pytest.approx(float(1e-8 * weighed.square(z + 5e-5 * v, v)), rel=1e-6)


def test_a_stochastic_decoder_is_measured_by_both_parts():
    """E J'J of mean + std eps over many eps."""
    with jax.enable_x64(True):
        z = jnp.array([0.4, -0.3])
        std = lambda z: 0.5 + 0.2 * jnp.sin(jnp.array([z[0], z[1], z[0] * z[1]]))  # noqa: E731
        eps = jax.random.normal(jax.random.key(0), (200_000, 3))
        mean_j, std_j = jax.jacfwd(paraboloid)(z), jax.jacfwd(std)(z)
        j = mean_j + eps[:, :, None] * std_j
        expected = jnp.einsum("nki,nkj->ij", j, j) / len(eps)
        np.testing.assert_allclose(stochastic(paraboloid, std).G(z), expected, atol=2e-2)
        ambient = LocalDiagonalPCA(jnp.zeros((1, 3)), 1.0, 0.1)
        h = jnp.diag(ambient.diag(paraboloid(z)))
        np.testing.assert_allclose(
            stochastic(paraboloid, std, ambient).G(z), mean_j.T @ h @ mean_j + std_j.T @ h @ std_j, rtol=1e-12
        )


def test_an_ensemble_dislikes_disagreement():
    f = lambda k, z: k * z  # noqa: E731
    agree, differ = (Ensemble(f, jnp.array(k)) for k in ([2.0, 2.0], [1.0, 3.0]))
    a, b = jnp.array([0.3, 0.0]), jnp.array([0.4, 0.0])
    assert agree.chord(a, b) == pytest.approx(0.04, rel=1e-5)
    pairs = np.mean([float(((k * a - l * b) ** 2).sum()) for k in (1, 3) for l in (1, 3)])
    assert differ.chord(a, b) == pytest.approx(pairs, rel=1e-5)
    np.testing.assert_allclose(differ.G(a), 5 * np.eye(2), rtol=1e-5)


FAMILIES = {
    "normal": (likelihoods.Normal(0.7), [0.3, -1.0]),
    "gaussian": (likelihoods.Gaussian(), [0.3, -1.0, 0.8, 1.5]),
    "bernoulli": (likelihoods.Bernoulli(), [0.2, 0.7]),
    "poisson": (likelihoods.Poisson(), [0.6, 3.0]),
    "negative_binomial": (likelihoods.NegativeBinomial(2.5), [0.6, 3.0]),
    "categorical": (likelihoods.Categorical(), [0.2, 0.3, 0.5]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_information_is_the_curvature_of_the_divergence(name):
    """Hessian of KL(eta, .) at eta; and KL against the definition, by sums over counts."""
    with jax.enable_x64(True):
        family, values = FAMILIES[name]
        eta = jnp.array(values)
        hessian = jax.hessian(lambda other: family.kl(eta, other))(eta)
        np.testing.assert_allclose(hessian, jnp.diag(family.information(eta)), rtol=1e-10, atol=1e-12)
        assert family.kl(eta, eta) == pytest.approx(0, abs=1e-14)
        if name in ("poisson", "negative_binomial", "bernoulli"):
            counts = jnp.arange(2.0 if name == "bernoulli" else 120.0)
            other = eta * 1.2
            total = 0.0
            for a, b in zip(eta, other, strict=True):
                log_p, log_q = (jax.vmap(lambda x, e=e: family.log_prob(e[None], x[None]))(counts) for e in (a, b))
                assert jnp.exp(log_p).sum() == pytest.approx(1, abs=1e-9)
                total += float((jnp.exp(log_p) * (log_p - log_q)).sum())
            assert family.kl(eta, other) == pytest.approx(total, rel=1e-8)


def test_fisher_rao_of_a_decoder():
    """Through mu = z, s = exp(z_2) it is the half-plane; chords agree with lengths."""
    with jax.enable_x64(True):
        metric = FisherRao(lambda z: jnp.array([z[0], z[1]]), likelihoods.Gaussian())
        np.testing.assert_allclose(metric.G(jnp.array([0.3, 2.0])), np.diag([0.25, 0.5]), rtol=1e-13)
        found = jax.jit(Refined())(metric, jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0]))
        assert found.converged and found.length == pytest.approx(1.1893809314064119, rel=1e-5)


def test_metrics_from_data():
    with jax.enable_x64(True):
        data = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]])
        z = jnp.array([0.1, 0.1])
        w = np.exp(-((np.asarray(data) - np.asarray(z)) ** 2).sum(1) / (2 * 0.3**2))
        expected = 1 / ((w[:, None] * (np.asarray(data) - np.asarray(z)) ** 2).sum(0) + 0.01)
        metric = LocalDiagonalPCA(data, 0.3, 0.01)
        np.testing.assert_allclose(metric.diag(z), expected, rtol=1e-13)
        np.testing.assert_allclose(metric.G(jnp.array([9.0, 9.0])), 100 * np.eye(2), rtol=1e-12)
        cost = RBFCost(data, jnp.array([2.0, 0.0, 0.0]), 0.3, 1.0)
        assert cost.conformal(data[0]) == pytest.approx(3.0)
        both = WeightedAverage(data[:2], jnp.stack([jnp.eye(2), 3 * jnp.eye(2)]), 0.3)
        np.testing.assert_allclose(both.G(jnp.array([0.5, 0.2])), 2 * np.eye(2), rtol=1e-12)


def test_inverse_density():
    """Constant density: flat. An isotropic one: Clairaut's m(r) r^2 phi' is conserved. Magnifications as asked for."""
    with jax.enable_x64(True):
        flat = InverseDensity(lambda z: jnp.zeros(()), 1.0, 0.5)
        assert m.gaussian_curvature(flat, jnp.array([0.3, 0.2])) == pytest.approx(0, abs=1e-14)
        metric = InverseDensity.between(lambda z: -0.5 * z @ z, 1.0, 2, 1.0, 4.0)
        assert m.log_volume(metric, jnp.zeros(2)) == pytest.approx(0, abs=1e-12)
        assert m.log_volume(metric, jnp.array([40.0, 0.0])) == pytest.approx(np.log(4))
        path = jax.jit(lambda v: shoot(metric, jnp.array([1.0, 0.2]), v, 200))(jnp.array([-1.0, 1.5]))
        c, v = path.curve, path.velocity
        momentum = jax.vmap(metric.conformal)(c) * (c[:, 0] * v[:, 1] - c[:, 1] * v[:, 0])
        np.testing.assert_allclose(momentum, momentum[0], rtol=1e-8)
    with pytest.raises(UsageError, match="least"):
        InverseDensity.between(lambda z: z @ z, 1.0, 2, 4.0, 1.0)


def test_local_discriminants_lengthen_what_separates_classes():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 2))
    centres, matrices = local_lda(x, (x[:, 0] > 0).astype(int), 60, centres=20, iterations=5)
    near = np.abs(centres[:, 0]) < 0.3
    assert near.any() and (matrices[near, 0, 0] > 3 * matrices[near, 1, 1]).all()
    assert (np.linalg.eigvalsh(matrices) > 0).all()
    with pytest.raises(UsageError, match="neighbours"):
        local_lda(x, np.zeros(3), 60)


def test_dead_directions_are_told():
    dead = Pullback(lambda z: jnp.array([z[0], 0 * z[1]]))
    assert m.condition(dead, jnp.array([1.0, 2.0])) == jnp.inf
    raised = Pullback(lambda z: jnp.array([z[0], 0 * z[1]]), floor=1e-2)
    assert m.condition(raised, jnp.array([1.0, 2.0])) == pytest.approx(101, rel=1e-4)
    assert length(raised, straight(jnp.zeros(2), jnp.array([0.0, 1.0]), 4)) == pytest.approx(0.1, rel=1e-5)
