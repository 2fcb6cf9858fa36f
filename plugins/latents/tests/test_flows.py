"""Flow matching and scores on manifolds, against heat kernels and known fields."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import spence

from genkit.chain import draw
from genkit.diffusion import VP
from genkit.errors import UsageError
from genkit.nn import Net, NoisyMLP
from genkit_latents.distributions import (
    RiemannianNormal,
    SphericalHeatKernel,
    Uniform,
    WrappedNormal,
    sphere_heat_kernel,
    walk,
)
from genkit_latents.flows import Field, FlowMatching, ManifoldModel, ScoreMatching, Spectral, divergence
from genkit_latents.flows.matching import kernel_score, pull
from genkit_latents.flows.spectral import path
from genkit_latents.geometry import metric as m
from genkit_latents.geometry.manifolds import Euclidean, FlatTorus, Lorentz, PoincareBall, Sphere

KEY = jax.random.key(0)
POLE = jnp.array([0.0, 0.0, 1.0])
SCORES = ScoreMatching(VP(b0=1e-3, b1=12.0))  # after which the first mode is down to exp(-6)


class Oracle:
    """A known field."""

    def __init__(self, f, manifold=Sphere()):  # noqa: B008
        self.f, self.manifold = f, manifold

    def __call__(self, x, c):
        return self.f(x, c)


def oracle(x, c):
    """The field of data from the heat kernel at time 0.3 around the pole: its score at 0.3 + B, times std."""
    b = jnp.exp(4 * c)
    return kernel_score(Sphere(), POLE.astype(x.dtype), x, 0.3 + b) * jnp.sqrt(-jnp.expm1(-b))


def test_divergence():
    """In coordinates that of the Laplacian, the same in two models; of the gradient of z on the sphere -2 z."""
    ball, sheet, z = PoincareBall(2, 0.7), Lorentz(2, 0.7), np.array([0.3, -0.4])
    x = np.array([0.6, 0.0, 0.8])
    f = lambda z: jnp.sin(z[0]) * z[1]  # noqa: E731

    @jax.jit
    def numbers(z, x):
        up = lambda z: ball.gradient(z, jax.grad(f)(z))  # noqa: E731
        lifted = lambda y: jax.jvp(sheet.from_ball, (sheet.to_ball(y),), (up(sheet.to_ball(y)),))[1]  # noqa: E731
        v, div = divergence(ball, up, z)
        others = [divergence(sheet, lifted, sheet.from_ball(z))[1], m.laplace_beltrami(ball, f, z)]
        pole = divergence(Sphere(), lambda y: Sphere().tangent(y, jnp.array([0.0, 0.0, 1.0])), x)[1]
        return v - up(z), div, jnp.stack(others), pole

    with jax.enable_x64(True):
        gap, div, others, pole = numbers(z, x)
        np.testing.assert_allclose(gap, 0, atol=1e-14)
        np.testing.assert_allclose(others, div, rtol=1e-10)
        assert pole == pytest.approx(-1.6)


def test_flow_matching_follows_geodesics():
    """With the true velocity the loss is 0; |u| is the distance; equal ends stand still."""
    ball = PoincareBall()
    x0, x1 = RiemannianNormal(ball, jnp.zeros(2), 0.7).sample(KEY, 2)

    class Fixed:
        def sample(self, key, n):
            return jnp.broadcast_to(x1, (n, 2))

    @jax.jit
    def losses(start):
        known = Oracle(lambda x, t: -ball.log(x, x0) / t, ball), Oracle(lambda x, t: 0 * x, ball)
        return [FlowMatching().loss(f, Fixed(), KEY, jnp.broadcast_to(start, (16, 2))) for f in known]

    followed, stood = losses(x0)
    np.testing.assert_allclose(followed, 0, atol=1e-5)
    np.testing.assert_allclose(stood, ball.dist(x0, x1) ** 2, rtol=1e-3)
    np.testing.assert_allclose(losses(x1)[1], 0, atol=1e-9)


half_square = jax.jit(lambda premetric, *args: premetric.half_square(*args), static_argnums=0)


def test_spectral_premetrics():
    """Diffusion: the heat kernel at four times the time; biharmonic: a dilogarithm on S^2, Bernoulli's polynomial on
    the circle; near points keep their digits; other spheres by their scale."""
    with jax.enable_x64(True):
        x, y = jnp.array([0.6, 0.0, 0.8]), jnp.array([0.0, 0.6, -0.8])
        heat = sphere_heat_kernel(jnp.array([1.0, -0.64]), 0.4)
        diffusion = Spectral("diffusion", 0.1, 40)
        assert half_square(diffusion, Sphere(), x, y) == pytest.approx(float(heat[0] - heat[1]), rel=1e-12)
        three = sphere_heat_kernel(jnp.array([1.0, 0.0]), 0.4, 3)
        ends = jnp.eye(4)[:2]
        assert half_square(diffusion, Sphere(3), *ends) == pytest.approx(float(three[0] - three[1]), rel=1e-12)
        biharmonic = Spectral(degree=200)
        exact = (np.pi**2 / 6 - spence((1 + 0.64) / 2)) / (4 * np.pi)
        assert half_square(biharmonic, Sphere(), x, y) == pytest.approx(exact, rel=1e-4)
        assert half_square(biharmonic, Sphere(2, 2.0), 2 * x, 2 * y) == pytest.approx(4 * exact, rel=1e-4)
        circle, gap = FlatTorus((2 * np.pi,)), 1.3
        exact = (np.pi**2 * gap**2 / 12 - np.pi * gap**3 / 12 + gap**4 / 48) / np.pi
        assert half_square(biharmonic, circle, jnp.array([5.9]), jnp.array([5.9 + gap - 2 * np.pi])) == pytest.approx(
            exact, rel=1e-6
        )
        near = Sphere().exp(x, jnp.array([8e-4, 0.0, -6e-4]))
        low = half_square(diffusion, Sphere(), x.astype(jnp.float32), near.astype(jnp.float32))
        assert low == pytest.approx(float(half_square(diffusion, Sphere(), x, near)), rel=1e-3)
    with pytest.raises(UsageError, match="eigenfunctions are known"):
        Spectral().half_square(PoincareBall(), jnp.zeros(2), jnp.zeros(2))
    for make in (lambda: Spectral(degree=0), lambda: FlowMatching(Spectral(), steps=0), lambda: Spectral(time=-1.0)):
        with pytest.raises(UsageError, match="degree=0|steps=0|time=-1.0"):
            make()


def test_paths_of_premetrics():
    """Distances fall in proportion to t, velocities with them; the geodesic distance gives geodesics."""

    class Geodesic:
        def half_square(self, manifold, x, y):
            return 0.5 * manifold.dist(x, y) ** 2

    @partial(jax.jit, static_argnums=0)
    def numbers(premetric, manifold, x0, x1, t):
        x, u = path(premetric, manifold, x0, x1, t, 300)
        s, slope = jax.value_and_grad(lambda x: premetric.half_square(manifold, x, x0))(x)
        return s / premetric.half_square(manifold, x1, x0), slope @ u / s, x - manifold.geodesic(x0, x1, t), u

    sphere, torus = Sphere(), FlatTorus()
    x0, x1 = jnp.array([0.6, 0.0, 0.8]), jnp.array([0.0, 0.8, -0.6])
    a, b = jnp.array([0.5, 6.0]), jnp.array([2.5, 1.0])
    for premetric, manifold, ends in (
        (Spectral(), sphere, (x0, x1)), (Spectral("diffusion", 0.5), torus, (a, b)), (Geodesic(), sphere, (x0, x1)),
    ):  # fmt: skip
        share, rate, gap, u = numbers(premetric, manifold, *ends, 0.3)
        assert share == pytest.approx(0.09, rel=0.02) and rate == pytest.approx(2 / 0.3, rel=1e-4)
        if isinstance(premetric, Geodesic):
            np.testing.assert_allclose(gap, 0, atol=1e-5)
            assert jnp.linalg.norm(u) == pytest.approx(float(sphere.dist(x0, x1)), rel=1e-4)
    at, u = path(Spectral(), sphere, x0, x0, 0.3, 5)
    np.testing.assert_allclose(jnp.stack([at, u]), jnp.stack([x0, 0 * x0]), atol=1e-6)
    method = FlowMatching(Spectral(), steps=20)
    field = Oracle(lambda x, t: 0 * x)
    assert np.isfinite(method.loss(field, Uniform(sphere), KEY, sphere.random_uniform(KEY, 64))).all()


def test_the_score_of_a_heat_kernel_gives_its_density_and_samples():
    """Data spread as a heat kernel have a known score at all times: log p and E cos = exp(-t) are exact."""
    sphere = Sphere()
    law = SphericalHeatKernel(sphere, POLE, 0.3 + float(SCORES.process.integral(SCORES.begins)))
    model = ManifoldModel(jax.tree_util.Partial(oracle), Uniform(sphere), SCORES)
    x = jnp.array([[0.0, 0.6, 0.8], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(model.log_prob(x, 40), law.log_prob(x), atol=0.02)
    for noisy in (False, True):
        drawn = draw(KEY, model.chain(40, noisy), 2000)
        assert drawn[:, 2].mean() == pytest.approx(np.exp(-0.3), abs=0.03)
        assert sphere.inside(drawn).all()


def test_both_score_losses_are_least_at_the_truth():
    """The loss of a times the true field is a^2 A - 2 a B + C, least at B / A = 1."""
    data, base = SphericalHeatKernel(Sphere(), POLE, 0.3).sample(KEY, 4000), Uniform(Sphere())

    @jax.jit
    def losses(share):
        scaled = Oracle(lambda x, c: share * oracle(x, c))
        return jnp.stack([ScoreMatching(kind=k, walk=20).loss(scaled, base, KEY, data).mean() for k in ("dsm", "ism")])

    zero, one, two = (np.asarray(losses(share)) for share in (0.0, 1.0, 2.0))
    a, b = (two - 2 * one + zero) / 2, (two - 4 * one + 3 * zero) / 4
    np.testing.assert_allclose(b / a, 1, atol=0.1)


def test_langevin_noise_has_its_base_as_limit():
    """Flat: the Ornstein-Uhlenbeck process, with exact densities and the least loss at the truth; in the ball what is
    drawn from the base stays so."""
    flat, mean, std = Euclidean(), jnp.array([0.8, -0.5]), 0.4
    base, data = WrappedNormal(flat, jnp.zeros(2), jnp.ones(2)), WrappedNormal(flat, mean, jnp.full(2, std))
    method = ScoreMatching(VP(b0=1e-3, b1=24.0), kind="ism", walk=60)

    def known(x, c):
        b = jnp.exp(4 * c)
        keep = jnp.exp(-b)
        return (jnp.sqrt(keep) * mean - x) / (keep * std**2 + 1 - keep) * jnp.sqrt(-jnp.expm1(-b))

    model = ManifoldModel(jax.tree_util.Partial(known), base, method)
    x = data.sample(KEY, 4000)
    np.testing.assert_allclose(model.log_prob(x[:3], 40), jax.vmap(data.log_prob)(x[:3]), atol=0.02)
    drawn = draw(KEY, model.chain(60, noisy=True), 4000)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.04)
    np.testing.assert_allclose(drawn.std(0), std, rtol=0.06)

    @jax.jit
    def loss(share):
        return method.loss(Oracle(lambda x, c: share * known(x, c), flat), base, KEY, x).mean()

    zero, one, two = (float(loss(share)) for share in (0.0, 1.0, 2.0))
    assert (two - 4 * one + 3 * zero) / (4 * (two / 2 - one + zero / 2)) == pytest.approx(1, abs=0.1)
    law = RiemannianNormal(PoincareBall(), jnp.zeros(2), 0.7)
    keys = jax.random.split(KEY, 4000)
    moved = jax.jit(jax.vmap(lambda k, x: walk(law.manifold, k, x, 2.0, 40, lambda x: pull(law, x))))(
        keys, law.sample(KEY, 4000)
    )
    spread = jnp.square(law.manifold.dist(law.mean, moved)).mean()
    assert spread == pytest.approx(float(law.expectation(jnp.square)), rel=0.08)


def test_fields_are_tangent_and_a_still_one_keeps_the_base():
    net = Net(NoisyMLP(16, 1), (3,))
    params = jax.tree.map(lambda p: p + 0.1, jax.jit(net.init)(KEY))
    x = jnp.array([0.6, 0.0, 0.8])
    v = Field(Sphere(), params, net)(x, jnp.float32(0.3))
    assert abs(v @ x) < 1e-6 * jnp.linalg.norm(v)
    still = ManifoldModel(jax.tree_util.Partial(lambda x, t: 0 * x), Uniform(Sphere()), FlowMatching())
    assert still.log_prob(x[None], 5) == pytest.approx(-np.log(4 * np.pi), rel=1e-6)
    whole, parts = (list(still.request(steps=5)(still, KEY, 4, chunk)) for chunk in (4, 3))
    np.testing.assert_allclose(whole[0]["samples"], np.concatenate([p["samples"] for p in parts]), atol=1e-6)
    assert [p["samples"].shape for p in parts] == [(3, 3), (1, 3)]
    with pytest.raises(UsageError, match="reverse random walk"):
        still.sample(KEY, 4, noisy=True)
    with pytest.raises(UsageError, match="loss ism"):
        torus = Field(FlatTorus(), params, net)
        SCORES.loss(torus, Uniform(FlatTorus()), KEY, jnp.zeros((4, 2)))
