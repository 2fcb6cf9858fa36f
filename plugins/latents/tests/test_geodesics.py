"""Solvers against geodesics that are known, and what they say when they fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import GenkitError, UsageError
from genkit.testing import check_lowers
from genkit_latents.geometry import metric as m
from genkit_latents.geometry.geodesics import (
    Collocation,
    Energy,
    FixedPoint,
    Graph,
    Hybrid,
    OnGraph,
    Refined,
    Shooting,
    Spline,
    require,
    solve,
)
from genkit_latents.geometry.manifolds import HalfPlane
from genkit_latents.geometry.numeric import Numeric
from genkit_latents.geometry.paths import energy, length, shoot, straight

TOY = m.Conformal(lambda z: 1 + z @ z)  # geodesics (A sinh t, B cosh t), A^2 - B^2 = 1
TOY_LENGTH, TOY_MIDDLE = 2.4695777466585582, 0.3643929452355063
SPHERE = m.Diagonal(lambda u: jnp.array([1.0, jnp.sin(u[0]) ** 2]))
TORUS = m.Diagonal(lambda u: jnp.array([1.0, (2 + jnp.cos(u[0])) ** 2]))
PARABOLOID = m.Full(lambda z: jnp.eye(2) + 4 * jnp.outer(z, z))


def point(*values):
    return jnp.array(values, float)


@pytest.mark.parametrize(
    ("solver", "accuracy"),
    [(Energy(), 9e-5), (Energy(16, "lbfgs"), 3.6e-4), (Spline(), 2e-6), (Refined(), 3e-9), (Shooting(), 1e-8),
     (Collocation(), 1e-7), (FixedPoint(), 1e-4)],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_solvers_on_the_toy_metric(solver, accuracy):
    with jax.enable_x64(True):
        p, q = point(-1, 0.5), point(1, 0.5)
        found = jax.jit(solver)(TOY, p, q)
        assert found.converged and found.length == pytest.approx(TOY_LENGTH, rel=accuracy)
        assert found.curve[len(found.curve) // 2, 1] == pytest.approx(TOY_MIDDLE, abs=1e-4 if accuracy < 3e-4 else 4e-4)
        assert found.length**2 <= 2 * found.energy * (1 + 1e-6)
        np.testing.assert_allclose(found.curve[jnp.array([0, -1])], [p, q], atol=1e-10)


@pytest.mark.parametrize(
    "solver", [Energy(8), Spline(4), Shooting(16), Collocation(8), FixedPoint(tolerance=1e-10)],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_a_metric_is_learned_from_distances(solver):
    """The derivative of a length in the parameter and an end, backwards through each solver, against differences."""
    with jax.enable_x64(True):

        def length(t):
            metric = m.Conformal(jax.tree_util.Partial(lambda a, z: 1 + a * (z @ z), 1 + t[0]))
            return solver(metric, jnp.array([-1.0, 0.5]), jnp.array([1.0, 0.5]) + t[1:]).length

        zero, h = jnp.zeros(3), 1e-4
        value = jax.jit(jax.vmap(length))(jnp.concatenate([h * jnp.eye(3), -h * jnp.eye(3)]))
        slope = jax.jit(jax.grad(length))(zero)
        np.testing.assert_allclose(slope, (value[:3] - value[3:]) / (2 * h), rtol=1e-5)


def test_a_wall_between_the_corners():
    """Straight across costs 5, which a solver that looks between the corners does not see: it may not say converged."""
    wall = m.Conformal(lambda z: jnp.square(1 + 3 / (0.02 * (2 * jnp.pi) ** 0.5) * jnp.exp(-0.5 * (z[0] / 0.02) ** 2)))
    p, q = jnp.array([-1.0, 0.0]), jnp.array([1.0, 0.0])
    with jax.enable_x64(True):
        assert length(wall, straight(p, q, 4000)) == pytest.approx(5, rel=1e-4)
        found = jax.jit(Refined(Energy(4)))(wall, p, q)
        assert found.length < 2.01 and not found.converged
        assert jax.jit(Refined(Energy(4)))(TOY, p, q).converged


def test_thin_walls_anywhere():
    """Walls of three forms down to 1 / 400 of the way, at several places, whose crossing costs as much as the way and
    a half: no solver says converged for a length that a polygon of 8000 pieces does not have."""
    forms = (lambda r: jnp.exp(-0.5 * r**2) / (2 * np.pi) ** 0.5, lambda r: 1.0 * (jnp.abs(r) < 0.5),
             lambda r: jnp.maximum(0, 1 - jnp.abs(r)))  # fmt: skip
    p, q = np.array([-1.0, 0.0]), np.array([1.0, 0.1])

    @jax.jit
    @jax.vmap
    def found(case):
        form, width, at = case
        height = lambda z: 3 / width * jax.lax.switch(form.astype(int), forms, (z[0] - at) / width)  # noqa: E731
        metric = m.Conformal(lambda z: jnp.square(1 + height(z)))
        out = []
        for solver in (Energy(8), Spline()):
            one = solver(metric, jnp.asarray(p), jnp.asarray(q))
            t, corners = jnp.linspace(0, 1, 8001), jnp.linspace(0, 1, len(one.curve))
            fine = jnp.stack([jnp.interp(t, corners, c) for c in one.curve.T], 1)
            out.append((one.converged, one.length, length(metric, fine)))
        return out

    with jax.enable_x64(True):
        cases = [(f, w, a) for f in range(3) for w in (0.02, 0.005) for a in (-0.63, 0.011, 0.337)]
        for converged, said, known in found(jnp.array(cases)):
            wrong = jnp.abs(said - known) > 0.1 * known
            assert wrong.any() and not (converged & wrong).any()


@pytest.mark.parametrize(
    "solver",
    [Energy(8), Energy(8, "lbfgs"), Spline(), Refined(), Shooting(), Collocation(), FixedPoint()],
    ids=lambda x: type(x).__name__,
)
def test_solvers_lower_for_gpus_and_tpus(solver):
    check_lowers(jax.jit(solver), TOY, point(-1, 0.5), point(1, 0.5))


def test_the_midpoint_rule_is_of_second_order():
    """The errors themselves, for several N, not only their ratio."""
    cases = [
        (HalfPlane(), point(0, 1), point(3, 2), 1.9248473002384139, {8: 4.02e-4, 16: 1.04e-4, 32: 2.63e-5}),
        (SPHERE, point(np.pi / 4, 0), point(np.pi / 3, np.pi / 2), 1.2094292028881886,
         {8: 1.317e-3, 16: 3.307e-4, 32: 8.277e-5}),
        (TORUS, point(0.5, 0), point(-0.5, 1.5), 4.540646957952686, {16: 4.2924e-4, 32: 1.0755e-4, 64: 2.694e-5}),
    ]  # fmt: skip
    with jax.enable_x64(True):
        for metric, p, q, exact, errors in cases:
            for n, error in errors.items():
                found = jax.jit(Energy(n))(metric, jnp.asarray(p, float), jnp.asarray(q, float))
                assert found.converged
                assert float(found.length) - exact == pytest.approx(error, rel=6e-3)


def test_known_geodesics():
    """The flat metric e^2x I; a torus; a paraboloid as a metric and by its chords."""
    with jax.enable_x64(True):
        flat = jax.jit(Refined())(m.Conformal(lambda z: jnp.exp(2 * z[0])), point(0, 0), point(0, 1))
        assert flat.length == pytest.approx(2 * np.sin(0.5), rel=1e-7) and flat.error < 1e-4
        np.testing.assert_allclose(flat.curve[16], (-0.13058424044372266, 0.5), atol=2e-5)
        torus = jax.jit(Shooting())(TORUS, point(0.5, 0), point(-0.5, 1.5))
        assert torus.length == pytest.approx(4.540646957952686, rel=1e-8)
        start = jax.jit(shoot)(TORUS, point(0.5, 0), point(-0.3730286752, 1.5726041459))
        np.testing.assert_allclose(start.curve[-1], (-0.5, 1.5), atol=1e-8)
        toy = jax.jit(shoot)(TOY, point(-1, 0.5), point(1.6029258791, -0.3757828308))
        np.testing.assert_allclose(toy.curve[-1], (1, 0.5), atol=1e-7)
        around = jax.jit(Refined(Energy(32)))(PARABOLOID, point(1, 0), point(0, 1))
        assert around.length == pytest.approx(1.53733041847, abs=1e-7)
        np.testing.assert_allclose(around.curve[32], (0.6607680462, 0.6607680462), atol=1e-5)
        across = length(PARABOLOID, straight(point(-1, 0), point(1, 0), 4000))
        assert across == pytest.approx(2.957885715089195, abs=1e-6)
        straight_on = length(TOY, straight(point(-1, 0), point(1, 0), 4000))
        assert straight_on == pytest.approx(2**0.5 + np.arcsinh(1), abs=1e-6)


@pytest.mark.parametrize(
    ("degrees", "constant", "turning", "end"),
    [(30, 2.598076211353316, 0.929697791487669, (-0.6007117234, 3.3850638359)),
     (45, 2.121320343559643, 1.4491763831406435, (-1.21245853, 3.497793536)),
     (60, 1.5, 2.0943951023931953, (-2.0912611391, 3.6244334161))],
)  # fmt: skip
def test_clairaut_on_the_torus(degrees, constant, turning, end):
    with jax.enable_x64(True):
        a = np.radians(degrees)
        path = torus_path(10 * point(np.sin(a), np.cos(a) / 3))  # unit speed for an arc of 10
        np.testing.assert_allclose(path.curve[-1], end, atol=2e-8)
        momentum = (2 + jnp.cos(path.curve[:, 0])) ** 2 * path.velocity[:, 1] / 10
        np.testing.assert_allclose(momentum, constant, rtol=1e-8)
        assert jnp.abs(path.curve[:, 0]).max() == pytest.approx(turning, abs=1e-3)
        assert path.drift < 1e-8


def test_where_a_geodesic_of_the_torus_turns():
    """At 45 degrees: the arc from the equator and the angle around the axis."""
    with jax.enable_x64(True):
        end = torus_path(2.9878077153214804 * 0.5**0.5 * point(1, 1 / 3)).curve[-1]
        np.testing.assert_allclose(end, (1.4491763831406435, 1.0141169772588683), atol=1e-9)


torus_path = jax.jit(lambda v: shoot(TORUS, jnp.zeros(2), v, 1000))


def test_curvature_of_surfaces():
    with jax.enable_x64(True):
        z = point(0.4, -0.3)
        torus = lambda t: np.cos(t) / (2 + np.cos(t))  # noqa: E731
        for metric, expected in [
            (TOY, -2 / (1 + 0.25) ** 3), (TORUS, torus(0.4)), (SPHERE, 1), (PARABOLOID, 4 / (1 + 4 * 0.25) ** 2),
            (m.Conformal(lambda z: jnp.exp(2 * z[0])), 0),
        ]:  # fmt: skip
            value, plain = jax.jit(lambda z, g=metric: (m.gaussian_curvature(g, z), m.riemann(g, z)))(z)
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
            np.testing.assert_allclose(plain, -jnp.swapaxes(plain, 2, 3), atol=1e-12)
            cyclic = plain + jnp.moveaxis(plain, 1, 3) + jnp.moveaxis(plain, 3, 1)  # Bianchi
            np.testing.assert_allclose(cyclic, 0, atol=1e-10)
        gamma = m.christoffel(HalfPlane(), point(0.3, 2))
        np.testing.assert_allclose(gamma, [[[0, -0.5], [-0.5, 0]], [[0.5, 0], [0, -0.5]]], atol=1e-14)
        assert m.log_volume(PARABOLOID, z) == pytest.approx(0.5 * np.log(1 + 4 * 0.25))


def test_the_laplacian_of_the_sphere_and_its_brownian_motion():
    """cos theta is an eigenfunction with eigenvalue -2; the drift of a coordinate is half its Laplacian."""
    with jax.enable_x64(True):
        z = point(0.7, 0.2)
        assert m.laplace_beltrami(SPHERE, lambda u: jnp.cos(u[0]), z) == pytest.approx(-2 * np.cos(0.7))
        drift = m.brownian_drift(SPHERE, z)
        np.testing.assert_allclose(drift, (0.5 / np.tan(0.7), 0), atol=1e-12)
        assert m.laplace_beltrami(SPHERE, lambda u: u[0], z) == pytest.approx(2 * float(drift[0]))


def test_lengths_do_not_depend_on_coordinates():
    with jax.enable_x64(True):
        chart = lambda w: jnp.stack([w[0] + 0.3 * jnp.sin(w[1]), w[1] + 0.1 * w[0] ** 2])  # noqa: E731
        to = jax.jit(lambda z: jax.lax.fori_loop(0, 60, lambda _, w: w - (chart(w) - z), z))
        p, q = point(-1, 0.5), point(1, 0.5)
        found = jax.jit(Refined())(m.Reparametrised(TOY, chart), to(p), to(q))
        assert found.converged and found.length == pytest.approx(TOY_LENGTH, rel=1e-6)


def test_many_pairs_in_float32():
    """One program, all converged; the length is right to 1e-5."""
    p = jnp.stack([jnp.full(20, -1.0), jnp.linspace(0.2, 0.5, 20)], 1)
    q = p * jnp.array([-1.0, 1.0])
    found = require(solve(Refined(), TOY, p, q))
    assert found.curve.shape == (20, 33, 2) and found.converged.all()
    assert found.length[-1] == pytest.approx(TOY_LENGTH, rel=1e-5)
    again = solve(Refined(), TOY, q, p, chunk=6)  # the other way round, and in parts
    np.testing.assert_allclose(again.length, found.length, rtol=1e-6)
    np.testing.assert_allclose(again.curve[:, ::-1], found.curve, atol=1e-4)


def hole():
    """High cost in the middle; a graph of points around it."""
    metric = m.Conformal(lambda z: 1 + 200 * jnp.exp(-(z @ z) / 0.08))
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
    radius = np.random.default_rng(1).uniform(0.7, 1.3, 300)
    return metric, np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def test_ends_that_almost_coincide():
    """In float32 round-off makes the residual and the pieces of such a curve; a point has logarithm zero at itself."""
    p = jax.random.normal(jax.random.key(0), (50, 2))
    find = jax.jit(jax.vmap(lambda p, q: Energy(12, tolerance=1e-3)(TOY, p, q)))
    scale = jnp.sqrt(1 + (p**2).sum(1))
    for gap in (0.0, 1e-7, 1e-6, 1e-5, 1e-4):
        found = find(p, p + gap)
        assert found.converged.all()
        np.testing.assert_allclose(found.length, scale * 2**0.5 * gap, rtol=0.1, atol=3e-5 if gap else 1e-5)
    plane = Numeric(TOY, 2, Energy(12, tolerance=1e-3))
    np.testing.assert_allclose(jax.vmap(plane.log)(p, p), 0, atol=1e-5)


def test_a_graph_finds_the_way_around_a_hole():
    metric, points = hole()
    graph = Graph.build(metric, points.astype(np.float32), 8)
    np.testing.assert_allclose(graph.distances, graph.distances.T, rtol=1e-6)
    p, q = jnp.array([-1.0, 0.0]), jnp.array([1.0, 0.0])
    rough, best = jax.jit(OnGraph(graph))(metric, p, q), jax.jit(Hybrid(graph))(metric, p, q)
    assert not rough.converged and rough.length < length(metric, straight(p, q, 64))
    assert best.converged and best.length < rough.length
    assert jnp.linalg.norm(best.curve, axis=1).min() > 0.4
    parts = np.concatenate([points, points + 50]).astype(np.float32)
    apart = Graph.build(metric, parts, 3)  # which are joined
    assert np.isfinite(apart.distances).all() and apart.distances[0, len(points)] > 60
    with pytest.raises(UsageError, match="neighbours=300"):
        Graph.build(metric, points, 300)


def test_failure_is_told():
    """Too few iterations, a metric that is NaN on the way, an uneven curve: the flag is off, and `require` says so."""
    p, q = jnp.array([-1.0, 0.5]), jnp.array([1.0, 0.5])
    short = jax.jit(Energy(8, iterations=1, tolerance=1e-12))(TOY, p, q)
    assert not short.converged and short.iterations == 1
    with pytest.raises(GenkitError, match="1 of 1 geodesics did not converge"):
        require(short)
    broken = jax.jit(Energy(8))(m.Conformal(lambda z: jnp.log(z[0])), p, q)
    assert not broken.converged
    uneven = jax.jit(Energy(4, even=1e-3))(TOY, p, q)
    assert not uneven.converged
    close = jax.jit(Energy(16))(TOY, p, p + jnp.array([4e-3, -1e-3]))  # rounding of coordinates is not failure
    assert close.converged and close.length == pytest.approx(1.5 * 17e-6**0.5, rel=2e-3)
    same = jax.jit(Energy(8))(TOY, p, p)
    assert same.converged and same.length == 0 and energy(TOY, same.curve) == 0


@pytest.mark.parametrize(
    ("matrix", "says"),
    [(lambda z: jnp.diag(jnp.array([1.0, z[0]])), "not positive definite at point 1"),
     (lambda z: jnp.array([[1.0, z[1]], [0.0, 1.0]]), "not symmetric at point 0"),
     (lambda z: jnp.eye(2) / z[1], "not finite at point 1"), (lambda z: jnp.eye(3), "expected \\(2, 2\\)")],
)  # fmt: skip
def test_wrong_metrics(matrix, says):
    with pytest.raises(GenkitError, match=says):
        m.check_metric(m.Full(matrix), [[1.0, 2.0], [-1.0, 0.0]])


def test_the_curve_of_given_accelerations():
    """c'' = sin 3t with c(0) = c(1) = 0 has the solution (t sin 3 - sin 3t) / 9."""
    t = np.linspace(0, 1, 20)
    shown, place, speed = FixedPoint(mesh=20, segments=19)._maps()
    for found in (shown, place):
        np.testing.assert_allclose(found @ np.sin(3 * t), (t * np.sin(3) - np.sin(3 * t)) / 9, atol=1e-6)
    np.testing.assert_allclose(speed @ np.sin(3 * t), (np.sin(3) - 3 * np.cos(3 * t)) / 9, atol=1e-6)


def test_wrong_solvers():
    for make in (lambda: Energy(1), lambda: Spline(nodes=1), lambda: FixedPoint(step=0.0)):
        with pytest.raises(UsageError, match="expected"):
            make()
