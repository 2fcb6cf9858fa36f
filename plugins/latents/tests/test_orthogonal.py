"""Rotations, frames, subspaces, and descent on manifolds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import subspace_angles
from scipy.spatial.transform import Rotation

from genkit.errors import UsageError
from genkit_latents.geometry import riemannian_adam, riemannian_sgd
from genkit_latents.geometry.manifolds import Grassmann, PoincareBall, SpecialOrthogonal, Sphere, Stiefel
from genkit_latents.stats import frechet_mean

RNG = np.random.default_rng(0)


def points(manifold, n=2):
    return manifold.project(jnp.asarray(RNG.normal(size=(n, *manifold.shape))))


@pytest.mark.parametrize(
    "manifold", [SpecialOrthogonal(4), Grassmann(5, 2), Stiefel(6, 2)], ids=lambda m: type(m).__name__
)
def test_exp_log_and_transport(manifold):
    """log inverts exp and has its length; transport keeps inner products (on Stiefel it is only tangent); exp is a
    curve of unit speed; the gradient is that of the metric."""
    with jax.enable_x64(True):
        x, target = points(manifold)
        a, b = (0.4 * manifold.tangent(x, jnp.asarray(RNG.normal(size=manifold.shape))) for _ in range(2))

        @jax.jit
        def numbers(x, a, b):
            y = manifold.exp(x, a)
            moved = manifold.transport(x, y, a), manifold.transport(x, y, b)
            f = lambda z: (z * target).sum()  # noqa: E731
            slope = jax.jvp(lambda t: f(manifold.exp(x, t * b)), (0.0,), (1.0,))[1]
            frame = manifold.frame(x)
            pairs = jax.vmap(lambda u: jax.vmap(lambda v: manifold.inner(x, u, v))(frame))(frame)
            gap = frame - jax.vmap(lambda u: manifold.tangent(x, u))(frame)
            mean = frechet_mean(manifold, jnp.stack([x, y]), start=x).point
            return (
                y,
                manifold.log(x, y),
                manifold.dist(x, y),
                moved,
                slope,
                manifold.gradient(x, target),
                pairs,
                gap,
                mean,
            )

        y, back, distance, moved, slope, gradient, pairs, gap, mean = numbers(x, a, b)
        np.testing.assert_allclose(pairs, np.eye(manifold.dim), atol=1e-12)
        np.testing.assert_allclose(gap, 0, atol=1e-12)
        assert manifold.dist(mean, manifold.exp(x, a / 2)) == pytest.approx(0, abs=1e-7)
        assert manifold.inside(y) and not manifold.inside(1.1 * y)
        np.testing.assert_allclose(back, a, atol=1e-9)
        assert distance == pytest.approx(float(manifold.norm(x, a)), rel=1e-9)
        assert manifold.inner(x, gradient, b) == pytest.approx(float(slope), rel=1e-9)
        if not isinstance(manifold, Stiefel):
            assert manifold.inner(y, *moved) == pytest.approx(float(manifold.inner(x, a, b)), rel=1e-9)


def test_known_distances():
    """The angle of a rotation; principal angles; on Stiefel(n, 1) the sphere, on frames of one plane turns."""
    with jax.enable_x64(True):
        so = SpecialOrthogonal(3)
        r = [Rotation.from_rotvec(v) for v in ([0.3, -1.0, 0.5], [0.1, 2.0, -0.7])]
        x, y = (jnp.asarray(a.as_matrix()) for a in r)
        assert so.dist(x, y) == pytest.approx((r[0].inv() * r[1]).magnitude(), rel=1e-12)
        np.testing.assert_allclose(so.exp(x, so.vector(x, 0 * so.components(x, x))), x, atol=1e-12)
        u, v = points(Grassmann(6, 3))
        known = np.linalg.norm(subspace_angles(np.asarray(u), np.asarray(v)))
        assert Grassmann(6, 3).dist(u, v) == pytest.approx(known, rel=1e-12)
        p, q = points(Sphere(3))
        assert Stiefel(4, 1).dist(p[:, None], q[:, None]) == pytest.approx(float(Sphere(3).dist(p, q)), rel=1e-9)
    with pytest.raises(UsageError, match="1 <= p <= n"):
        Grassmann(2, 3)


def test_descent():
    """The leading subspace is that of the largest eigenvalues, in a batch; in a ball the mean is found by Adam; a step
    of plain descent is the exponential map."""
    with jax.enable_x64(True):
        a = np.diag([5.0, 4.0, 1.0, 0.5, 0.2])
        space, rule = Grassmann(5, 2), riemannian_sgd(Grassmann(5, 2), 0.05)

        def run(rule, loss, x, steps):
            def move(s, _):
                change, state = rule.update(jax.grad(loss)(s[0]), s[1], s[0])
                return (optax.apply_updates(s[0], change), state), None

            return jax.jit(lambda x: jax.lax.scan(move, (x, rule.init(x)), None, length=steps)[0][0])(x)

        x = run(rule, lambda x: -jnp.einsum("kia,ij,kja->", x, a, x), points(space, 3), 300)
        np.testing.assert_allclose(jax.vmap(lambda x: space.dist(x, space.origin))(x), 0, atol=1e-6)
        ball, ends = PoincareBall(), jnp.array([[0.8, 0.0], [-0.5, 0.3], [0.1, -0.7]])
        cost = lambda z: jnp.square(ball.dist(z, ends)).mean()  # noqa: E731
        rate = optax.cosine_decay_schedule(0.1, 300)
        found = run(riemannian_adam(ball, rate), cost, jnp.array([0.9, 0.2]), 300)
        np.testing.assert_allclose(jax.grad(cost)(found), 0, atol=1e-3)
        one = run(riemannian_sgd(ball, 0.1), cost, ends[0], 1)
        step = ball.exp(ends[0], -0.1 * ball.gradient(ends[0], jax.grad(cost)(ends[0])))
        np.testing.assert_allclose(one, step, atol=1e-12)
