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


@pytest.mark.parametrize(("dtype", "off"), [(np.float64, 1e-8), (np.float32, 4e-4)])  # the root of rounding
def test_half_turns(dtype, off):
    """Angles near and at pi, where the skew part of a rotation is lost: distances are right, and logarithms arrive."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(dtype is np.float64):
        axis = rng.normal(size=3)
        x = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
        so, angles = SpecialOrthogonal(3), np.pi - np.array([4e-3, 1e-3, 1e-6, 1e-9, 0])
        y = np.stack([x @ Rotation.from_rotvec(t * axis / np.linalg.norm(axis)).as_matrix() for t in angles])
        x, y = x.astype(dtype), y.astype(dtype)
        there = jax.jit(lambda so, x, y: so.exp(x, so.log(x, y)))
        np.testing.assert_allclose(so.dist(x, y), angles, atol=off)
        np.testing.assert_allclose(there(so, x, y), y, atol=off)
        assert list(so.unique(x, y)) == [True, True, dtype is np.float64, False, False]
        for n, halves in ((4, 2), (5, 1)):
            so, turn = SpecialOrthogonal(n), np.linalg.qr(rng.normal(size=(n, n)))[0]
            y = (turn @ np.diag([-1.0] * 2 * halves + [1.0] * (n - 2 * halves)) @ turn.T).astype(dtype)
            assert so.dist(np.eye(n, dtype=dtype), y) == pytest.approx(np.pi * halves**0.5, rel=off / 10)
            np.testing.assert_allclose(there(so, np.eye(n, dtype=dtype), y), y, atol=off)
        plane = Grassmann(3, 1)
        assert list(plane.unique(jnp.eye(3)[:, :1], jnp.eye(3)[:, 1:].T[..., None])) == [False, False]


def test_frames():
    """Of Stiefel manifolds with p > 1: turns in a plane of two columns, and of columns into two planes, have known
    lengths; right factors are isometries; log has its derivative also where points meet; what is too far is NaN."""
    with jax.enable_x64(True):
        space, x = Stiefel(6, 2), jnp.eye(6, 2)
        c, s = np.cos(0.7), np.sin(0.7)
        turned = x @ np.array([[c, -s], [s, c]])
        apart = np.zeros((6, 2))
        apart[[0, 2, 1, 3], [0, 0, 1, 1]] = np.cos(0.4), np.sin(0.4), np.cos(0.9), np.sin(0.9)
        y = space.project(x + 0.4 * jnp.asarray(np.random.default_rng(3).normal(size=(6, 2))))
        far = space.project(jnp.asarray(np.random.default_rng(0).normal(size=(40, 6, 2))))

        @jax.jit
        def numbers(turned, apart, y):
            q = jnp.array([[0.6, -0.8], [0.8, 0.6]])
            lengths = space.dist(x, turned), space.dist(x, apart), space.dist(x, y), space.dist(x @ q, y @ q)
            same = jax.jacfwd(lambda a: space.components(x, space.log(x, space.exp(x, space.vector(x, a)))))
            found = space.log(x, far)
            return lengths, same(jnp.zeros(space.dim)), found, space.exp(x, found)

        lengths, slope, found, there = numbers(turned, apart, y)
        # a turn of both columns is the skew matrix of 0.7 in X'V, of which the canonical metric counts half
        np.testing.assert_allclose(lengths[:2], (0.7, np.hypot(0.4, 0.9)), rtol=1e-9)
        assert lengths[2] == pytest.approx(float(lengths[3]), rel=1e-9)
        np.testing.assert_allclose(slope, np.eye(space.dim), atol=1e-9)
        known = ~np.isnan(found).any((1, 2))
        assert known.any()
        np.testing.assert_allclose(there[known], far[known], atol=1e-7)


def test_adam_by_hand():
    """Three steps on the sphere against numpy: moments, their corrections, and what is carried along."""
    with jax.enable_x64(True):
        b1, b2, eps, rate, a = 0.8, 0.9, 1e-8, 0.3, np.array([0.2, -1.0, 0.7])
        x = np.array([0.6, 0.0, 0.8])
        rule = riemannian_adam(Sphere(), lambda count: rate / (1 + count), b1, b2, eps)
        ours, state = jnp.asarray(x), rule.init(jnp.asarray(x))
        first, second = np.zeros(3), 0.0
        for step in range(3):
            g = a * (step + 1)
            change, state = rule.update(jnp.asarray(g), state, ours)
            ours = optax.apply_updates(ours, change)
            g = g - (g @ x) * x
            first, second = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * g @ g
            size = np.sqrt(second / (1 - b2 ** (step + 1))) + eps
            v = -rate / (1 + step) / (1 - b1 ** (step + 1)) / size * first
            r = np.linalg.norm(v)
            u = v / r
            x, turned = np.cos(r) * x + np.sin(r) * u, np.cos(r) * u - np.sin(r) * x
            first = first + (first @ u) * (turned - u)  # the part along the way turns with it
            np.testing.assert_allclose(ours, x, atol=1e-12)
            np.testing.assert_allclose(state.first, first, atol=1e-12)
            assert state.second == pytest.approx(second, rel=1e-12) and state.count == step + 1
            np.testing.assert_allclose(first @ x, 0, atol=1e-12)


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
