"""Closed-form manifolds: published values in both precisions, and what every manifold obeys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genkit.errors import GenkitError, UsageError
from genkit_latents.geometry import metric as m
from genkit_latents.geometry.manifolds import (
    SPD,
    Euclidean,
    FlatTorus,
    GaussianFisherRao,
    HalfPlane,
    Lorentz,
    PoincareBall,
    PoincareEllipsis,
    Product,
    Sphere,
    Stereographic,
)
from genkit_latents.geometry.paths import exp

E = np.e
X, Y = (0.3, 0.4), (-0.5, 0.1)
DISTANCES = [
    (HalfPlane(), (0, 1), (1, 1), 0.9624236501192069),
    (HalfPlane(), (0, 1), (0, E), 1.0),
    (HalfPlane(), (0, 1), (3, 2), 1.9248473002384139),
    (HalfPlane(), (-1, 0.5), (2, 0.25), 4.310618904608728),
    (PoincareBall(c=1.0), X, Y, 1.9630240329056317),
    (PoincareBall(c=0.7), X, Y, 1.8801747658241208),
    (PoincareBall(c=1.2), X, Y, 2.0225318221330437),
    (PoincareBall(c=0.1), X, Y, 1.7317933653681679),
    (PoincareBall(), (0, 0), (0.1, 0), 0.20067069546215116),
    (PoincareBall(), (0, 0), (0.5, 0), 1.0986122886681098),
    (PoincareBall(), (0, 0), (0.9, 0), 2.9444389791664407),
    (PoincareBall(), (0, 0), (0.99, 0), 5.293304824724491),
    (Stereographic(kappa=-1.0), X, Y, 1.9630240329056317),
    (Stereographic(kappa=0.0), X, Y, 1.7088007490635064),
    (Stereographic(kappa=1.0), X, Y, 1.4977154191642914),
    (GaussianFisherRao(), (0, 1), (1, 1), 0.9802581434685472),
    (GaussianFisherRao(), (0, 1), (0, 2), 2**0.5 * np.log(2)),
    (GaussianFisherRao(), (0, 1), (2, 1), 1.8624597189054246),
    (GaussianFisherRao(), (0, 1), (1, 2), 1.1893809314064119),
    (GaussianFisherRao(), (-1, 0.5), (1, 2), 2.5539826359589775),
    (GaussianFisherRao(2), (0, -1, 1, 0.5), (1, 1, 1, 2), np.hypot(0.9802581434685472, 2.5539826359589775)),
    (Euclidean(), (0, 0), (3, 4), 5.0),
    (FlatTorus((1.0, 2.0)), (0.1, 0.1), (0.9, 1.9), np.hypot(0.2, 0.2)),
]


@jax.jit
def distances(ends):  # all in one program
    return [(f.dist(x, y), f.norm(x, f.log(x, y))) for (f, *_), (x, y) in zip(DISTANCES, ends, strict=True)]


def test_distances():
    with jax.enable_x64(True):
        found = distances([(jnp.array(x, float), jnp.array(y, float)) for _, x, y, _ in DISTANCES])
        for (manifold, x, y, expected), (dist, norm) in zip(DISTANCES, found, strict=True):
            assert dist == pytest.approx(expected, rel=5e-15, abs=0), (manifold, x, y)
            assert norm == pytest.approx(expected, rel=1e-13), (manifold, x, y)
    found = distances([(jnp.array(x, jnp.float32), jnp.array(y, jnp.float32)) for _, x, y, _ in DISTANCES])
    for (manifold, x, y, expected), (dist, _) in zip(DISTANCES, found, strict=True):
        # 1e-6 of it is the rounding of the inputs at |x| = 0.99
        assert dist == pytest.approx(expected, rel=2e-6), (manifold, x, y)


def test_points_and_vectors_of_the_half_plane_and_the_ball():
    with jax.enable_x64(True):
        a = jnp.array
        plane = HalfPlane()
        np.testing.assert_allclose(plane.exp(a([0.0, 1]), a([1.0, 0])), (np.tanh(1), 1 / np.cosh(1)), rtol=1e-15)
        np.testing.assert_allclose(plane.exp(a([0.0, 1]), a([0.0, 1])), (0, E), atol=1e-15)
        middle = plane.geodesic(a([0.0, 1]), a([3.0, 2]), 0.37)
        assert np.hypot(middle[0] - 2, middle[1]) == pytest.approx(5**0.5, rel=1e-14)
        x, v = a(X), a([0.2, -0.1])
        np.testing.assert_allclose(PoincareBall().exp(x, v), (0.4986894836, 0.3329065551), atol=1e-10)
        np.testing.assert_allclose(PoincareBall(c=0.7).exp(x, v), (0.5005090407, 0.3213909967), atol=1e-10)
        np.testing.assert_allclose(PoincareBall().log(x, a(Y)), (-0.6224834255, -0.3929474127), atol=1e-10)
        assert m.log_volume(PoincareBall(), a([0.0, 0])) == pytest.approx(np.log(4))
        assert m.log_volume(PoincareBall(), a([0.3, 0.4])) == pytest.approx(np.log(64 / 9))


@jax.jit
def widening(manifold, v):
    return manifold.log_jacobian(manifold.origin, jnp.tensordot(v, manifold.frame(manifold.origin), 1))


def test_volumes_of_known_surfaces():
    """The disc of radius 1 of the hyperbolic plane, its border, and a torus."""
    with jax.enable_x64(True):
        nodes, weights = np.polynomial.legendre.leggauss(20)
        r, w = (nodes + 1) / 2, weights / 2
        v = jnp.asarray(np.stack([np.append(r, 1.0), np.zeros(21)], 1))
        for manifold in (PoincareBall(), Lorentz()):  # tangent vectors at the origin, by their frame
            stretch = np.exp(widening(manifold, v))
            assert 2 * np.pi * (w * r * stretch[:-1]).sum() == pytest.approx(3.412276265284902, rel=1e-13)
            assert 2 * np.pi * stretch[-1] == pytest.approx(7.384006872882645, rel=1e-13)
        torus = m.Diagonal(lambda u: jnp.array([1.0, (2 + jnp.cos(u[0])) ** 2]))
        theta = jnp.asarray(np.stack([2 * np.pi * np.arange(8) / 8, np.zeros(8)], 1))
        area = (2 * np.pi) ** 2 * np.exp(jax.jit(jax.vmap(lambda u: m.log_volume(torus, u)))(theta)).mean()
        assert area == pytest.approx(78.95683520871486, rel=1e-14)


def test_the_models_of_constant_curvature_are_isometric():
    with jax.enable_x64(True):
        x, y = jnp.array(X), jnp.array(Y)
        sheet, ball = Lorentz(c=0.7), PoincareBall(c=0.7)
        assert sheet.dist(sheet.from_ball(x), sheet.from_ball(y)) == pytest.approx(1.8801747658241208, rel=1e-14)
        np.testing.assert_allclose(sheet.to_ball(sheet.from_ball(x)), x, rtol=1e-14)

        def lift(z):  # inverse stereographic projection
            zz = z @ z
            return jnp.array([2 * z[0], 2 * z[1], 1 - zz]) / (1 + zz)

        assert Sphere().dist(lift(x), lift(y)) == pytest.approx(1.4977154191642914, rel=1e-14)
        v = jnp.array([0.2, -0.1])
        moved = jax.jvp(sheet.from_ball, (y,), (ball.transport(x, y, v),))[1]
        pushed = jax.jvp(sheet.from_ball, (x,), (v,))[1]
        np.testing.assert_allclose(sheet.transport(sheet.from_ball(x), sheet.from_ball(y), pushed), moved, atol=1e-14)


def test_curvature_may_pass_through_zero():
    """Distance, exp and log are smooth in kappa: slopes from both sides agree with differences across."""
    with jax.enable_x64(True):
        x, y = jnp.array(X), jnp.array(Y)

        def numbers(k):
            space = Stereographic(kappa=k)
            return jnp.concatenate([space.dist(x, y)[None], space.exp(x, y), space.log(x, y)])

        slope = jax.jit(jax.jacfwd(numbers))
        for k in (0.0, 1e-12, -1e-12):
            assert np.isfinite(slope(k)).all()
            np.testing.assert_allclose(slope(k), (numbers(k + 1e-5) - numbers(k - 1e-5)) / 2e-5, rtol=1e-8)
        np.testing.assert_allclose(slope(0.02500001), slope(0.0249999), rtol=1e-5)  # where the series ends


def test_a_product_adds_squares():
    with jax.enable_x64(True):
        angle = lambda t, p: jnp.array([jnp.sin(t) * jnp.cos(p), jnp.sin(t) * jnp.sin(p), jnp.cos(t)])  # noqa: E731
        space = Product((PoincareBall(), Sphere(), Euclidean()))
        a = space.join([jnp.array(X), angle(np.pi / 4, 0), jnp.zeros(2)])
        b = space.join([jnp.array(Y), angle(np.pi / 3, np.pi / 2), jnp.array([3.0, 4.0])])
        assert Sphere().dist(space.split(a)[1], space.split(b)[1]) == pytest.approx(1.2094292028881886, rel=1e-14)
        assert space.dist(a, b) == pytest.approx(5.506013290082385, rel=1e-14)


MANIFOLDS = {
    "euclidean": Euclidean(3),
    "torus": FlatTorus((2.0, 3.0)),
    "sphere": Sphere(4, 1.5),
    "ball": PoincareBall(3, 0.7),
    "lorentz": Lorentz(3, 0.7),
    "half_space": HalfPlane(3),
    "positive": Stereographic(2, 0.6),
    "fisher_rao": GaussianFisherRao(2),
    "spd": SPD(3),
    "product": Product((PoincareBall(), Sphere(), SPD(2))),
    "ellipsis": PoincareEllipsis(np.array([[1.0, 0.3], [0.0, 2.0]])),
}


def draw(manifold, seed, scale=0.7):
    """Three points around the origin, and two tangent vectors at the first."""
    origin = manifold.origin
    a = jnp.asarray(np.random.default_rng(seed).standard_normal((5, manifold.dim)), origin.dtype)
    return frame_points(manifold, origin, scale * a[:3], 0.5 * a[3:])


@jax.jit
def frame_points(manifold, origin, a, b):
    x, y, z = manifold.exp(origin, jnp.tensordot(a, manifold.frame(origin), 1))
    u, v = jnp.tensordot(b, manifold.frame(x), 1)
    return x, y, z, u, v


@pytest.mark.parametrize("name", MANIFOLDS)
def test_every_manifold(name):
    """exp and log are inverse, transport is an isometry, frames are orthonormal, the Jacobian is that of exp.

    Each method is called once, for many arguments: compilation is what this test costs.
    """
    manifold = MANIFOLDS[name]

    @jax.jit
    def checks(x, y, z, u, v):
        stack, gap = jnp.stack, lambda x, y: manifold.log(x, y)
        log, back = gap(stack([x, y]), stack([y, x]))
        ends = manifold.exp(x, stack([log, v, 0.3 * v, 0 * v]))
        moved = manifold.transport(stack([x, x, x]), stack([y, y, y]), stack([u, v, log]))
        there = manifold.transport(y, x, moved[0])
        first, second = stack([x, y, x, z, x, x]), stack([y, x, z, y, ends[2], x])
        d = manifold.dist(first, second)
        frame = manifold.frame(x)
        n = manifold.dim
        pairs = manifold.inner(x, jnp.repeat(frame, n, 0), jnp.concatenate([frame] * n)).reshape(n, n)
        inner = manifold.inner(stack([x, y, x]), stack([u, moved[0], log]), stack([v, moved[1], log]))
        _, push = jax.linearize(lambda w: manifold.exp(x, w), v)
        fields, at = jax.vmap(push)(frame), manifold.frame(ends[1])
        ahead = manifold.inner(ends[1], jnp.repeat(fields, n, 0), jnp.concatenate([at] * n)).reshape(n, n)
        slope = jax.grad(lambda y: 0.5 * manifold.dist(x, y) ** 2)(y)
        return {
            "exp of log": ends[0] - y,
            "log of exp": gap(x, ends[1]) - v,
            "length of log": jnp.sqrt(inner[2]) - d[0],
            "time scales length": d[4] - 0.3 * manifold.norm(x, v),
            "symmetry": d[0] - d[1],
            "triangle": jnp.minimum(d[2] + d[3] - d[0], 0),
            "transport keeps products": inner[1] - inner[0],
            "transport of log": moved[2] + back,
            "there and back": there - u,
            "frame": pairs - jnp.eye(n),
            "jacobian": jnp.linalg.slogdet(ahead)[1] - manifold.log_jacobian(x, v),
            "gradient of distance": manifold.gradient(y, slope) + back,
            "inside": ~(manifold.inside(stack([x, y])).all() & manifold.unique(x, y)),
            "nothing moves at zero": ends[3] - x,
            "no distance to itself": d[5],
        }

    with jax.enable_x64(True):
        for seed in range(3):
            for what, value in checks(*draw(manifold, seed)).items():
                np.testing.assert_allclose(np.asarray(value, float), 0, atol=2e-11, err_msg=what)
    if name == "ball":
        low = jax.tree.map(lambda a: np.abs(np.asarray(a, float)).max(), checks(*draw(manifold, 0)))
        assert max(low.values()) < 1e-4, low  # float32


@pytest.mark.parametrize(
    ("manifold", "curvature"),
    [(PoincareBall(2, 0.7), -0.7), (Stereographic(2, 0.6), 0.6), (HalfPlane(), -1.0), (GaussianFisherRao(), -0.5),
     (PoincareEllipsis(np.array([[1.0, 0.3], [0.0, 2.0]])), -1.0)],
)  # fmt: skip
def test_closed_forms_agree_with_their_metric(manifold, curvature):
    """Curvature from Christoffel symbols, and exp from the geodesic equation."""
    with jax.enable_x64(True):
        x, y, _, u, v = draw(manifold, 1)
        full = m.Full(manifold.G)
        sectional = jax.jit(lambda: m.sectional_curvature(full, x, u, v))()
        assert sectional == pytest.approx(curvature, rel=1e-9)
        assert jax.jit(lambda: m.gaussian_curvature(manifold, x))() == pytest.approx(curvature, rel=1e-10)
        np.testing.assert_allclose(jax.jit(exp)(manifold, x, v), manifold.exp(x, v), atol=1e-8)
        np.testing.assert_allclose(jax.jit(exp)(full, x, v), manifold.exp(x, v), atol=1e-8)
        assert m.log_volume(full, x) == pytest.approx(m.log_volume(manifold, x))
        np.testing.assert_allclose(manifold.gradient(x, u), jnp.linalg.solve(manifold.G(x), u), rtol=1e-12)


@jax.jit
def turned_distance(shift, angle):
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    ball = PoincareBall()
    return ball.dist(turn @ ball.add(shift, jnp.array(X)), turn @ ball.add(shift, jnp.array(Y)))


fisher_rao = jax.jit(GaussianFisherRao(2).dist)


@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(0, 6.3))
def test_isometries_of_the_ball(a, b, angle):
    """Mobius translation and rotation."""
    moved = turned_distance(np.array([a, b], np.float32), np.float32(angle))
    assert moved == pytest.approx(1.9630240329056317, rel=2e-5)


@given(st.integers(0, 1000))
def test_the_triangle_inequality_of_gaussians(seed):
    rng = np.random.default_rng(seed)
    mean, std = rng.standard_normal((3, 2)), np.exp(rng.standard_normal((3, 2)))
    x = np.concatenate([mean, std], -1).astype(np.float32)
    across, one, two = fisher_rao(x, x[[1, 2, 0]])
    assert across <= one + two + 1e-5


def test_nothing_breaks_near_the_border_in_float32():
    ball, x = PoincareBall(), jnp.array([0.3, 0.4], jnp.float32)
    far = ball.exp(x, jnp.array([50.0, 0.0]))
    assert bool(ball.inside(far)) and jnp.linalg.norm(far) <= 1 - 3.9e-3
    for f in (ball.dist, lambda x, y: ball.log(x, y).sum(), lambda x, y: ball.exp(y, ball.log(y, x)).sum()):
        slope = jax.jit(jax.value_and_grad(f, (0, 1)))
        for pair in ((far, -far), (x, x), (x, far), (jnp.zeros(2), jnp.zeros(2))):
            value, slopes = slope(*pair)
            assert np.isfinite([value, *np.ravel(slopes)]).all()
    plane = HalfPlane()
    up = plane.exp(jnp.array([0.0, 1.0]), jnp.array([1e-3, 20.0]))
    assert plane.dist(jnp.array([0.0, 1.0]), up) == pytest.approx(20, rel=1e-5)
    slopes = jax.jit(jax.jacrev(lambda x: SPD(3).log(jnp.eye(3), x)))(2 * np.eye(3, dtype=np.float32))  # equal ones
    assert np.isfinite(slopes).all() and slopes[0, 0, 0, 0] == pytest.approx(0.5)


def test_antipodal_points_are_told():
    sphere, x = Sphere(), jnp.array([0.6, 0.0, 0.8])
    assert not sphere.unique(x, -x) and bool(sphere.unique(x, jnp.array([0.0, 1.0, 0.0])))
    assert sphere.norm(x, sphere.log(x, -x)) == pytest.approx(np.pi) and sphere.dist(x, -x) == pytest.approx(np.pi)
    np.testing.assert_allclose(sphere.exp(x, sphere.log(x, -x)), -x, atol=1e-6)
    assert sphere.norm(-x, sphere.transport(x, -x, jnp.array([0.8, 0.0, -0.6]))) == pytest.approx(1)
    assert not FlatTorus((1.0, 1.0)).unique(jnp.array([0.1, 0.1]), jnp.array([0.6, 0.2]))
    plane = Stereographic(2, 1.0)
    assert not plane.unique(jnp.array([0.5, 0.0]), jnp.array([-2.0, 0.0]))


@pytest.mark.parametrize(
    ("manifold", "point", "says"),
    [
        (PoincareBall(), [[0.1, 0.2], [0.9, 0.9]], r"points\[1\] = .* is not on the manifold"),
        (Sphere(), [1.0, 1.0, 0.0], "not on the manifold"),
        (HalfPlane(), [0.0, -1.0], "not on the manifold"),
        (Lorentz(), [1.0, 1.0, 1.0], "not on the manifold"),
        (SPD(2), [[1.0, 2.0], [2.0, 1.0]], "not on the manifold"),
        (Euclidean(), [np.nan, 0.0], "not finite"),
        (Euclidean(), [1.0, 2.0, 3.0], "have shape"),
        (GaussianFisherRao(), [0.0, 0.0], "not on the manifold"),
    ],
)
def test_points_outside(manifold, point, says):
    with pytest.raises(GenkitError, match=says):
        manifold.check(point)


def test_no_distance_to_what_is_no_point():
    """Where a closed form would give a number, or the root of a NaN a zero."""
    low, twice = jnp.array([0.0, -1.0]), jnp.array([[1.0, 2.0], [2.0, 1.0]])
    for manifold, wrong in ((HalfPlane(), low), (GaussianFisherRao(), low), (SPD(2), twice)):
        assert jnp.isnan(jax.jit(manifold.dist)(manifold.origin, wrong))
        assert jax.jit(manifold.dist)(manifold.origin, manifold.origin) == 0


def test_wrong_manifolds():
    for make, says in [
        (lambda: PoincareBall(c=-1.0), "c=-1.0"), (lambda: Sphere(0), "n=0"), (lambda: Product(()), "factor"),
        (lambda: FlatTorus((0.0,)), "periods"), (lambda: Product((Sphere(),)).G(jnp.zeros(3)), "Sphere is embedded"),
        (lambda: PoincareEllipsis(np.ones((2, 2))), "full rank"), (lambda: PoincareEllipsis(np.ones((2, 3))), "square"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=says):
            make()


def test_the_border_of_a_ball():
    """float32: far logarithms are as long as the distance; what was put to the border is told; no point lies beyond it;
    a geodesic takes many times."""
    ball, zero = PoincareBall(), jnp.zeros(2)
    x, y = jnp.array([0.995, 0.03]), jnp.array([-0.7, 0.71])
    with jax.enable_x64(True):
        known = ball.log(*(jnp.asarray(np.asarray(a), float) for a in (x, y)))
        assert ball.norm(jnp.asarray(np.asarray(x), float), known) == pytest.approx(float(
            ball.dist(*(jnp.asarray(np.asarray(a), float) for a in (x, y)))), rel=1e-10)  # fmt: skip
    np.testing.assert_allclose(ball.log(x, y), known, rtol=2e-4)
    assert ball.norm(x, ball.log(x, y)) == pytest.approx(float(ball.dist(x, y)), rel=1e-5)
    far = ball.exp(zero, jnp.array([[1.0, 0.0], [9.0, 0.0]]))
    assert list(ball.clamped(far)) == [False, True]
    assert list(Product((Sphere(), ball)).clamped(jnp.concatenate([jnp.ones((2, 3)) / 3**0.5, far], 1))) == [
        False,
        True,
    ]
    outside = jnp.array([1.2, 0.0])
    assert jnp.isnan(ball.dist(zero, outside)) and jnp.isnan(ball.log(outside, zero)).all()
    curve = ball.geodesic(x, y, jnp.linspace(0, 1, 5))
    assert curve.shape == (5, 2)
    np.testing.assert_allclose(curve[2], ball.geodesic(x, y, 0.5), atol=1e-6)
    with pytest.raises(UsageError, match="bfloat16 has no digits"):
        ball.exp(zero.astype(jnp.bfloat16), zero.astype(jnp.bfloat16))


def test_geodesics_across_a_ball_keep_their_digits():
    """In float32 as in float64, between points 5.5 from the origin and less, and beyond them. With the usual formula of
    Mobius addition some are off by 5e-3, and leave the ball."""
    rng, ball = np.random.default_rng(0), PoincareBall(2, 1.2)
    angles, far, t = rng.uniform(size=(2, 2000)) * 2 * np.pi, rng.uniform(size=(2, 2000)) * 5.5, rng.uniform(size=2000)
    points = np.tanh(far / 2)[..., None] * np.stack([np.cos(angles), np.sin(angles)], -1) / 1.2**0.5
    p, q, t = (np.float32(a) for a in (*points, 1.4 * t - 0.2))
    found = np.asarray(jax.jit(jax.vmap(ball.geodesic))(p, q, t))
    with jax.enable_x64(True):
        known = jax.vmap(ball.geodesic)(*(np.float64(a) for a in (p, q, t)))
    np.testing.assert_allclose(found, ball.project(jnp.asarray(np.asarray(known), jnp.float32)), atol=3e-4)
