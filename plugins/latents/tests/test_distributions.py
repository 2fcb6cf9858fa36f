"""Densities against published values, quadrature and their own samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genkit.errors import UsageError
from genkit_latents.distributions import (
    BrownianMotion,
    HyperbolicHeatKernel,
    PowerSpherical,
    RiemannianNormal,
    SphericalHeatKernel,
    Uniform,
    VonMisesFisher,
    WrappedNormal,
    sphere_heat_kernel,
    walk,
)
from genkit_latents.geometry.manifolds import SPD, Euclidean, FlatTorus, PoincareBall, Product, Sphere, Stereographic

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("d", "c", "s", "expected"),
    [(2, 1.0, 1.0, 2.1819532727519464), (2, 1.0, 0.5, 0.5356049047985048), (2, 1.2, 1.7, 4.172525990629442),
     (3, 1.0, 1.0, 3.9182549611852138), (5, 0.7, 0.8, 5.281636461111827)],
)  # fmt: skip
def test_normaliser_of_the_riemannian_normal(d, c, s, expected):
    def log_z(s):
        return RiemannianNormal(PoincareBall(d, c), jnp.zeros(d), s).log_normaliser()

    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(log_z)(s)
        assert value == pytest.approx(expected, rel=1e-13)
        assert slope == pytest.approx(float(log_z(s + 1e-4) - log_z(s - 1e-4)) / 2e-4, rel=1e-6)
    assert log_z(jnp.float32(s)) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize(
    ("manifold", "s", "expected"),
    [(Sphere(), 0.3, 0.5488235529714046), (Sphere(), 0.5, 1.4462142164981342), (Sphere(), 1.0, 4.557318005332644),
     (PoincareBall(), 0.5, 1.7084813983381828), (PoincareBall(), 1.0, 8.86360239422739),
     (Euclidean(), 0.5, 1.5707963267948966)],
)  # fmt: skip
def test_normalisers_of_both_curvatures(manifold, s, expected):
    with jax.enable_x64(True):
        log_z = RiemannianNormal(manifold, manifold.origin, s).log_normaliser()
        assert jnp.exp(log_z) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("m", "k", "constant", "kl", "cosine"),
    [(3, 1.0, -2.6924636085404874, 0.1515959239281348, 0.31303528549933124),
     (3, 10.0, -9.535291971354148, 1.995732316838216, 0.9000000041223),
     (5, 20.0, -17.632996291323185, 3.6899243123347083, 0.9026315789473683),
     (20, 100.0, -73.30520549193002, 16.940417066346733, 0.9090700399930428)],
)  # fmt: skip
def test_von_mises_fisher(m, k, constant, kl, cosine):
    with jax.enable_x64(True):
        sphere = Sphere(m - 1)
        law = VonMisesFisher(sphere, sphere.origin, k)
        assert law.log_constant() == pytest.approx(constant, rel=1e-13)
        assert law.kl_uniform() == pytest.approx(kl, rel=1e-12)
        assert law.mean_cosine() == pytest.approx(cosine, rel=1e-12)


def test_von_mises_fisher_of_scipy_and_power_spherical():
    with jax.enable_x64(True):
        mean = jnp.array([0.6, 0.0, 0.8])
        x = Uniform(Sphere()).sample(KEY, 5)
        known = stats.vonmises_fisher(np.asarray(mean), 3.0).logpdf(np.asarray(x))
        np.testing.assert_allclose(VonMisesFisher(Sphere(), mean, 3.0).log_prob(x), known, rtol=1e-9)
        law = PowerSpherical(Sphere(3), Sphere(3).origin, 4.0)  # closed normaliser with a = (m-1)/2 + k, b = (m-1)/2
        a, b, lgamma = 5.5, 1.5, jax.scipy.special.gammaln
        expected = (a + b) * np.log(2) + b * np.log(np.pi) + lgamma(a) - lgamma(a + b) - 4 * np.log(2)
        assert law.log_normaliser() == pytest.approx(float(expected), rel=1e-12)


def test_wrapped_normal():
    mean, std, x = (0.3, -0.2), (0.5, 0.8), (0.1, 0.4)
    for c, expected in ((1.0, -3.146490845236499), (0.7, -2.888874782543652)):
        with jax.enable_x64(True):
            law = WrappedNormal(PoincareBall(c=c), jnp.array(mean), jnp.array(std))
            assert law.log_prob(jnp.array(x)) == pytest.approx(expected, rel=1e-13)
        low = WrappedNormal(PoincareBall(c=c), jnp.array(mean), jnp.array(std)).log_prob(jnp.array(x))
        assert low == pytest.approx(expected, rel=1e-5)
    ball = PoincareBall()  # the density integrates to one
    side = (np.arange(400) + 0.5) / 200 - 1
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    grid = jnp.asarray(grid[(grid**2).sum(1) < 1 - 1e-3], jnp.float32)
    law = WrappedNormal(ball, jnp.array(mean), jnp.array([0.4, 0.5]))
    assert (jnp.exp(jax.jit(jax.vmap(law.log_prob))(grid)) * ball.conformal(grid)).sum() / 200**2 == pytest.approx(
        1, abs=2e-3
    )
    spread = jax.jit(
        lambda: jax.vmap(lambda y: ball.components(law.mean, ball.log(law.mean, y)))(law.sample(KEY, 4000))
    )
    spread = spread().std(0)
    np.testing.assert_allclose(spread, law.std, rtol=0.05)


def test_wrapped_normals_go_around():
    """On spheres, in both coordinates, tori and products they integrate to one, however wide."""
    with jax.enable_x64(True):
        sphere, torus, both = Sphere(), FlatTorus((2.0, 3.0)), Product((Sphere(1), Euclidean(1)))
        half, turn = (np.arange(120) + 0.5) * np.pi / 120, (np.arange(40) + 0.5) * np.pi / 20
        polar, around = (a.ravel() for a in np.meshgrid(half, turn))
        points = jnp.asarray(
            np.stack([np.cos(polar), np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around)], 1)
        )
        area = jnp.asarray(np.sin(polar) * (np.pi / 120) * (np.pi / 20))
        flat = jnp.asarray(np.stack(np.meshgrid(np.arange(40) / 20, np.arange(40) * 3 / 40), -1).reshape(-1, 2))
        line = (np.arange(400) + 0.5) / 10 - 20
        once = np.repeat(turn, 400)
        strip = jnp.asarray(np.stack([np.cos(once), np.sin(once), np.tile(line, 40)], 1))

        @jax.jit
        def mass(std):
            stereo = Stereographic(2, 1.0)
            laws = (WrappedNormal(sphere, sphere.origin, std), points, area), (
                WrappedNormal(torus, jnp.ones(2), std / 3), flat, 6 / 1600), (
                WrappedNormal(both, both.origin, std * jnp.ones(2)), strip, np.pi / 20 / 10), (
                WrappedNormal(stereo, jnp.zeros(2), std), points[:, 1:] / (1 + points[:, :1]), area)  # fmt: skip
            return jnp.stack([(jnp.exp(jax.vmap(law.log_prob)(x)) * a).sum() for law, x, a in laws])

        for std in (0.5, 1.5, 3.0):
            np.testing.assert_allclose(mass(std), 1, atol=2e-3)


def test_samples_follow_their_density():
    """Radii against the distribution function, by Kolmogorov and Smirnov; and gradients through samples."""
    ball, sphere = PoincareBall(3), Sphere(2)
    where = ball.exp(jnp.zeros(3), jnp.array([0.3, 0.1, -0.2]))

    @jax.jit
    def numbers(law):
        x = law.sample(KEY, 4000)
        grid = jnp.linspace(1e-6, law._limit(), 4000)
        far = law.manifold.project(law.mean - 0 * x[0])
        return law.manifold.dist(law.mean, x), grid, jnp.exp(law._log_radius(grid)), far

    for law in (
        RiemannianNormal(ball, where, 0.8),
        VonMisesFisher(sphere, jnp.array([0.0, 0.6, 0.8]), 5.0),
        SphericalHeatKernel(sphere, jnp.array([0.0, 0.6, 0.8]), 0.3),
    ):
        r, grid, p, far = map(np.asarray, numbers(law))
        share = np.cumsum(p, dtype=np.float64) / p.sum(dtype=np.float64)
        assert stats.kstest(r, lambda q, grid=grid, share=share: np.interp(q, grid, share)).pvalue > 1e-3
        np.testing.assert_allclose(far, law.mean, atol=1e-6)

    def mean_square(s):
        return jnp.square(ball.dist(jnp.zeros(3), RiemannianNormal(ball, jnp.zeros(3), s).sample(KEY, 2000))).mean()

    def exact(s):
        return RiemannianNormal(ball, jnp.zeros(3), s).expectation(jnp.square)

    sampled, known = jax.jit(lambda s: (jax.grad(mean_square)(s), jax.grad(exact)(s)))(0.8)
    assert sampled == pytest.approx(float(known), rel=0.1)


@pytest.mark.parametrize(
    ("t", "values"),
    [(0.1, [1.6183430714420433]), (0.5, [0.34622951621907166, 0.036987877325849176, 0.00019517923307]),
     (1.0, [0.18862541759216445, 0.06968484199903, 0.01021384784171]),
     (2.0, [0.11287607871522, 0.07908434002250, 0.04825139563714])],
)  # fmt: skip
def test_heat_kernel_of_the_sphere(t, values):
    with jax.enable_x64(True):
        angles = jnp.array([0, np.pi / 2, np.pi])[: len(values)]
        np.testing.assert_allclose(sphere_heat_kernel(jnp.cos(angles), t), values, atol=5e-15)
        law = SphericalHeatKernel(Sphere(), Sphere().origin, t)
        assert law.log_normaliser() == pytest.approx(0, abs=1e-12)  # already normalised
        assert law.expectation(jnp.cos) == pytest.approx(np.exp(-t), rel=1e-10)


@pytest.mark.parametrize("d", [2, 3])
def test_heat_kernel_of_hyperbolic_space(d):
    """Normalised, and a solution of dp/dt = (p'' + (d - 1) coth(r) p') / 2."""
    with jax.enable_x64(True):
        ball = PoincareBall(d)

        def log_p(r, t):
            return HyperbolicHeatKernel(ball, jnp.zeros(d), t).log_kernel(r)

        for t in (0.05, 3.0):
            assert HyperbolicHeatKernel(ball, jnp.zeros(d), t).log_normaliser() == pytest.approx(0, abs=1e-12)
        r, t = 1.3, 0.7
        p = lambda r, t: jnp.exp(log_p(r, t))  # noqa: E731
        slope, bend, change = jax.jit(
            lambda r, t: (jax.grad(p)(r, t), jax.grad(jax.grad(p))(r, t), jax.grad(p, 1)(r, t))
        )(r, t)
        assert change == pytest.approx(float(0.5 * (bend + (d - 1) / np.tanh(r) * slope)), rel=1e-8)
    with pytest.raises(UsageError, match="dimensions 2 and 3"):
        HyperbolicHeatKernel(PoincareBall(4), jnp.zeros(4))


def test_radii_and_curvatures_scale():
    """A space twice as large is the same in units twice as long: densities fall by 2^d, times are of length squared."""
    with jax.enable_x64(True):
        x = jnp.array([0.6, 0.0, 0.8])
        for make in (VonMisesFisher, PowerSpherical):
            small, large = make(Sphere(), Sphere().origin, 3.0), make(Sphere(2, 2.0), Sphere(2, 2.0).origin, 3.0)
            assert large.log_prob(2 * x) == pytest.approx(float(small.log_prob(x)) - 2 * np.log(2), rel=1e-10)
        law = VonMisesFisher(Sphere(2, 2.0), Sphere(2, 2.0).origin, 10.0)
        assert law.mean_cosine() == pytest.approx(0.9000000041223) and law.kl_uniform() == pytest.approx(1.99573231684)
        for t in (0.1, 2.0):
            small = SphericalHeatKernel(Sphere(), Sphere().origin, t).log_kernel(jnp.array(0.7))
            large = SphericalHeatKernel(Sphere(2, 2.0), Sphere(2, 2.0).origin, 4 * t)
            assert large.log_kernel(jnp.array(1.4)) == pytest.approx(float(small) - 2 * np.log(2), rel=1e-10)
        for d in (2, 3):
            known = HyperbolicHeatKernel(PoincareBall(d), jnp.zeros(d), 0.7).log_kernel(jnp.array(1.3))
            curved = HyperbolicHeatKernel(PoincareBall(d, 0.25), jnp.zeros(d), 2.8)
            assert curved.log_kernel(jnp.array(2.6)) == pytest.approx(float(known) - d * np.log(2), rel=1e-10)
            assert curved.log_normaliser() == pytest.approx(0, abs=1e-12)


def test_brownian_motion():
    """E cos = exp(-t) on the sphere for the walk; the density is exact in flat space, near the kernel in a ball."""
    x = jax.jit(jax.vmap(lambda k: walk(Sphere(), k, Sphere().origin, 0.5, 40)))(jax.random.split(KEY, 8000))
    assert x[:, 0].mean() == pytest.approx(np.exp(-0.5), abs=4 * 0.4 / 8000**0.5 + 0.005)
    assert Sphere().inside(x).all()
    flat = BrownianMotion(Euclidean(), jnp.zeros(2), 0.3)
    expected = stats.multivariate_normal(np.zeros(2), 0.3).logpdf([0.4, -0.2])
    assert flat.log_prob(jnp.array([0.4, -0.2])) == pytest.approx(expected, rel=1e-5)
    ball, y = PoincareBall(), jnp.array([0.1, 0.05])
    short, exact = BrownianMotion(ball, jnp.zeros(2), 0.05), HyperbolicHeatKernel(ball, jnp.zeros(2), 0.05)
    assert short.log_prob(y) == pytest.approx(float(exact.log_prob(y)), abs=0.02)
    assert short.sample(KEY, 3).shape == (3, 2)


def test_uniform_distributions():
    assert Uniform(Sphere()).log_prob(Sphere().origin) == pytest.approx(-np.log(4 * np.pi))
    torus = FlatTorus((2.0, 3.0))
    assert Uniform(torus).log_prob(torus.random_uniform(KEY, 4)) == pytest.approx(-np.log(6))
    matrix = WrappedNormal(SPD(2), jnp.eye(2), jnp.float32(0.5))
    assert np.isfinite(jax.vmap(matrix.log_prob)(matrix.sample(KEY, 3))).all()
