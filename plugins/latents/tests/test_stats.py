"""Means, clusters, neighbours and LAND."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, qmc

from genkit.errors import GenkitError, UsageError
from genkit_latents.distributions import RiemannianNormal
from genkit_latents.geometry import metric as m
from genkit_latents.geometry.geodesics import Energy
from genkit_latents.geometry.manifolds import SPD, Euclidean, HalfPlane, Lorentz, PoincareBall, Product, Sphere
from genkit_latents.geometry.numeric import Numeric
from genkit_latents.stats import (
    Land,
    LandFit,
    distances,
    distortion,
    fit_land,
    frechet_mean,
    geodesic_kmeans,
    gromov_delta,
    kmedoids,
    knn_accuracy,
    tangent_pca,
)

KEY = jax.random.key(0)


def test_frechet_means():
    with jax.enable_x64(True):
        found = jax.jit(frechet_mean)(Sphere(), jnp.eye(3))
        np.testing.assert_allclose(found.point, np.full(3, 3**-0.5), atol=1e-10)
        assert found.converged and found.variance == pytest.approx(0.9553166181245092**2, rel=1e-10)
        a, b = jnp.diag(jnp.array([1.0, 4.0])), jnp.diag(jnp.array([9.0, 1.0]))
        np.testing.assert_allclose(SPD(2).dist(a, jnp.stack([a, b])), (0, np.hypot(np.log(9), np.log(4))), rtol=1e-12)
        middle = jax.jit(frechet_mean)(SPD(2), jnp.stack([a, b])).point
        np.testing.assert_allclose(middle, jnp.diag(jnp.array([3.0, 2.0])), atol=1e-9)  # geometric mean
        weighed = frechet_mean(Euclidean(2), jnp.array([[0.0, 0], [1, 0]]), jnp.array([1.0, 3.0]))
        np.testing.assert_allclose(weighed.point, (0.75, 0))


def test_means_of_points_far_apart():
    """Where Karcher's step of one diverges: a spread of 3 in the ball and the hyperboloid, and matrices."""
    with jax.enable_x64(True):
        mean = jax.jit(frechet_mean)
        v = 3 * jax.random.normal(KEY, (30, 2))
        ball, sheet = PoincareBall(), Lorentz()
        x = ball.exp(jnp.zeros(2), v / 2)
        found, same = mean(ball, x), mean(sheet, sheet.from_ball(x))
        for one in (found, same):
            assert one.converged and one.residual < 1e-10 and one.iterations < 100
        np.testing.assert_allclose(sheet.to_ball(same.point), found.point, atol=1e-8)
        assert found.variance < jnp.square(ball.dist(jnp.zeros(2), x)).mean()
        a = 1.5 * jax.random.normal(KEY, (20, 3, 3))
        x = jax.scipy.linalg.expm((a + jnp.swapaxes(a, 1, 2)) / 2)
        assert mean(SPD(3), x).converged
        assert not mean(SPD(3), x.at[3].set(-x[3])).converged  # no logarithm there, and no mean


def test_k_means_passes_on_what_the_mean_says():
    """One cluster of far points is found; with too few iterations of the mean it is not said to be."""
    ball = PoincareBall()
    x = RiemannianNormal(ball, jnp.zeros(2), 1.7).sample(KEY, 60)
    found = geodesic_kmeans(ball, x, 1)
    assert found.converged and found.cost < jnp.square(ball.dist(jnp.zeros(2), x)).mean()
    assert not geodesic_kmeans(ball, x, 1, means=1).converged


def test_no_mean_where_none_is_determined():
    """Two antipodal points have a circle of means, three even ones of a great circle a saddle at each and two means at
    the poles, and a point across from the mean is on a ridge: none has converged, in either precision, nor in a
    product."""
    a = np.arange(3) * 2 * np.pi / 3
    even = np.stack([np.cos(a), np.sin(a), 0 * a], 1)
    ends = np.array([[1.0, 0, 0], [-1, 0, 0], [0, -1, 0], [0, -1, 0]])
    mean = jax.jit(frechet_mean)
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype is np.float64):
            w = [np.array(v, dtype) for v in ([1, 1, 0, 0], [3, 3, 3, 3], [1, 1, 1, 0], [1, 0, 0, 0])]
            sphere = [mean(Sphere(), jnp.asarray(ends, dtype), w[0], ends[i].astype(dtype)) for i in (0, 2)]
            ridge = mean(Sphere(), jnp.asarray(ends, dtype), w[1], ends[0].astype(dtype))
            for one in (*sphere, ridge, mean(Sphere(), jnp.asarray(even, dtype))):
                assert one.residual < 1e-5 and not one.converged
            up = mean(Sphere(), jnp.asarray(even, dtype), None, Sphere().project(jnp.array([0.3, 0.2, 0.9], dtype)))
            assert up.converged and up.point[2] == pytest.approx(1, abs=1e-4)
            alone = mean(Sphere(), jnp.asarray(ends, dtype), w[3], ends[0].astype(dtype))
            assert alone.converged  # a point without weight does not count
    both = np.concatenate([ends, np.zeros((4, 2))], 1)
    assert not mean(Product((Sphere(), PoincareBall())), both[:2]).converged
    found = geodesic_kmeans(Sphere(), ends[:2].astype(np.float32), 1)
    assert not found.converged


def test_means_of_tight_clusters():
    """Points that are near for where they are, yet far beyond rounding, have a mean that is not the first of them.
    Points that are one have a mean, from any start."""
    rng = np.random.default_rng(0)
    mean = jax.jit(frechet_mean)
    spread = rng.normal(size=(50, 2)).astype(np.float32)
    far = np.float32(100) + np.float32(1e-3) * spread
    found = mean(Euclidean(2), far)
    np.testing.assert_allclose(found.point, far.astype(float).mean(0), atol=1.6e-5)  # two spacings of 100
    assert found.iterations > 0
    low = np.float32([0, 1e-3]) + np.float32(1e-5) * spread
    found = mean(HalfPlane(), low)
    np.testing.assert_allclose(found.point, low.mean(0), atol=1e-6)  # curvature moves it by 1e-7
    assert found.converged
    for point in (low[0], far[0]):
        found = mean(HalfPlane(), np.stack([point] * 3), None, point + np.float32(0.1))
        assert found.converged and (found.point == point).all()


def test_derivatives_of_a_mean():
    """Of points, weights, and the radius of a sphere, by the implicit function theorem, against differences."""
    with jax.enable_x64(True):
        u = jnp.array([[1.0, 0.2, 0.1], [0.3, 1.0, -0.2], [0.5, 0.1, 1.0]])

        @jax.jit
        def f(t):
            ball, sphere = PoincareBall(2, 1 + t[0]), Sphere(2, 1 + t[1])
            x = jnp.array([[0.5, 0.2], [-0.4, 0.6], [0.1, -0.7]]) * (1 + t[2])
            w = jnp.array([1.0, 2.0, 1.0]) + t
            one = frechet_mean(ball, x, w).point
            return one @ jnp.array([1.0, 2.0]) + frechet_mean(sphere, sphere.project(u + t), w).point @ u[0]

        zero, h = jnp.zeros(3), 1e-5
        known = [(f(h * e) - f(-h * e)) / (2 * h) for e in jnp.eye(3)]
        backward, forward = jax.jit(lambda t: (jax.grad(f)(t), jax.jacfwd(f)(t)))(zero)
        np.testing.assert_allclose(backward, known, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(forward, backward, rtol=1e-9)


def test_points_and_weights_of_a_mean():
    with pytest.raises(UsageError, match="no points"):
        frechet_mean(Sphere(), jnp.zeros((0, 3)))
    poles = jnp.eye(3, dtype=int)
    with pytest.raises(UsageError, match="weights of shape .2,. for 3 points"):
        frechet_mean(Sphere(), poles, jnp.ones(2))
    found = frechet_mean(Sphere(), poles)  # whole numbers
    assert found.converged and np.allclose(found.point, 3**-0.5, atol=1e-5)
    assert not frechet_mean(Sphere(), poles, jnp.array([1.0, 1.0, -0.5])).converged


def test_tangent_pca_of_a_great_circle():
    t = jnp.linspace(-0.5, 0.5, 11)
    x = jnp.stack([jnp.cos(t), jnp.sin(t), 0 * t], 1)
    values, directions = jax.jit(tangent_pca)(Sphere(), x, jnp.array([1.0, 0.0, 0.0]))
    assert values[0] == pytest.approx(float((t**2).mean()), rel=1e-4) and abs(values[1]) < 1e-8
    assert abs(directions[0, 1]) == pytest.approx(1, abs=1e-5)


def test_a_metric_as_a_manifold():
    """The toy metric: log has the geodesic's length and the known direction; exp returns; transport keeps lengths."""
    with jax.enable_x64(True):
        toy = Numeric(m.Conformal(lambda z: 1 + z @ z), 2, Energy(64))
        assert Product((Sphere(), PoincareBall())).exact and not Product((Sphere(), toy)).exact
        x, y = jnp.array([-1.0, 0.5]), jnp.array([1.0, 0.5])

        @jax.jit
        def numbers():
            u = jnp.array([0.3, 0.4])
            moved = toy.transport(x, y, u)
            return toy.log(x, y), toy.exp(x, toy.log(x, y)), toy.norm(x, u), toy.norm(y, moved), toy.frame(x)

        v, back, before, after, frame = numbers()
        np.testing.assert_allclose(v, (1.6029258791, -0.3757828308), atol=2e-3)
        np.testing.assert_allclose(back, y, atol=3e-3)
        assert after == pytest.approx(float(before), rel=1e-3)
        np.testing.assert_allclose(frame @ toy.G(x) @ frame.T, np.eye(2), atol=1e-12)


def test_normal_coordinates():
    """Components of a logarithm have its length; where the metric is conformal they are also its direction, as in the
    reference code of LAND, which rescales the logarithm to that Euclidean length, and elsewhere they are not."""
    with jax.enable_x64(True):
        x, v = jnp.array([0.3, -0.2]), jnp.array([0.5, 0.4])
        for metric, same in ((m.Conformal(lambda z: 1 + z @ z), True), (m.Diagonal(lambda z: 1 + z**2 * 9), False)):
            space = Numeric(metric, 2)
            a = space.components(x, v)
            assert jnp.linalg.norm(a) == pytest.approx(float(space.norm(x, v)), rel=1e-12)
            rescaled = v * space.norm(x, v) / jnp.linalg.norm(v)
            assert bool(jnp.allclose(a, rescaled, atol=1e-10)) is same


def test_distances_that_are_not_found_are_an_error():
    broken = Numeric(m.Conformal(lambda z: jnp.log(z[0])), 2, Energy(4, iterations=3))
    x = jnp.array([[-1.0, 0.0], [-2.0, 0.0]])
    assert jnp.isnan(jax.jit(broken.transport)(*x, x[0])).all()
    with pytest.raises(GenkitError, match="distances were not found"):
        distances(broken, x, x)


def test_clusters():
    """Two groups at the ends of a ball, where Euclidean distances are small."""
    ball = PoincareBall()
    ends = jnp.array([[0.9, 0.0], [0.0, 0.9]])
    groups = [RiemannianNormal(ball, e, 0.4).sample(jax.random.fold_in(KEY, i), 20) for i, e in enumerate(ends)]
    x = jnp.concatenate(groups)
    labels = np.repeat([0, 1], 20)
    d = distances(ball, x, x)
    for found in (geodesic_kmeans(ball, x, 2), kmedoids(d, 2)):
        agree = (found.labels == labels).mean()
        assert found.converged and max(agree, 1 - agree) == 1
    assert knn_accuracy(d + 10 * np.eye(40), labels, labels, 3) == 1
    with pytest.raises(UsageError, match="41 clusters"):
        kmedoids(d, 41)


def test_scores_of_distances():
    tree = np.abs(np.arange(6)[:, None] - np.arange(6)[None]).astype(float)
    same = distortion(3 * tree, tree)
    assert same.mean == pytest.approx(0, abs=1e-12) and same.worst == 1 and same.spearman == pytest.approx(1)
    assert gromov_delta(tree) == 0
    angle = 2 * np.pi * np.arange(8) / 8
    circle = np.minimum(np.abs(angle[:, None] - angle), 2 * np.pi - np.abs(angle[:, None] - angle))
    assert gromov_delta(circle) == pytest.approx(1)  # delta of a circle is a quarter of its length


def test_the_normaliser_of_land_is_that_of_the_riemannian_normal():
    """Isotropic Sigma: with the full Jacobian the closed forms of S^2 and H^2."""
    noise = jnp.asarray(norm.ppf(qmc.Sobol(2, rng=0).random(4096)), jnp.float32)  # normals, evenly spread
    normaliser = jax.jit(lambda land: jnp.exp(land.log_normaliser(noise)))
    for manifold, s, expected in ((Sphere(), 0.5, 1.4462142164981342), (PoincareBall(), 0.5, 1.7084813983381828)):
        land = Land(manifold, manifold.origin, s * jnp.eye(2))
        assert normaliser(land) == pytest.approx(expected, rel=3e-3)
    r = jax.jit(lambda land: manifold.dist(manifold.origin, land.sample(KEY, 4000, proposals=5)))(land)
    exact = RiemannianNormal(manifold, manifold.origin, 0.5).expectation(jnp.square)
    assert jnp.square(r).mean() == pytest.approx(float(exact), rel=0.06)


def test_draws_of_a_mixture():
    """In flat space LANDs are Gaussians: shares, means and covariances; chunks change nothing."""
    roots = jnp.array([[[0.3, 0.0], [0.1, 0.2]], [[0.5, 0.0], [0.0, 0.1]]])
    parts = Land(Euclidean(2), jnp.array([[-2.0, 0.0], [2.0, 1.0]]), roots)
    fit = LandFit(parts, jnp.array([0.3, 0.7]), jnp.zeros(1), jnp.zeros((1, 2)))
    x = fit.sample(KEY, 4000, proposals=4)
    left = x[:, 0] < 0
    assert left.mean() == pytest.approx(0.3, abs=0.025)
    for k, own in enumerate((x[left], x[~left])):
        np.testing.assert_allclose(own.mean(0), parts.mean[k], atol=0.03)
        np.testing.assert_allclose(np.cov(own.T), roots[k] @ roots[k].T, atol=0.015)
    (few,) = fit.request(proposals=4)(fit, KEY, 3, 3)
    np.testing.assert_allclose(few["samples"], x[:3], atol=1e-5)


def test_land_finds_what_made_the_data():
    """Two isotropic components in the ball: their means, spreads and weights; the likelihood rises."""
    ball = PoincareBall()
    ends = jnp.array([[0.6, 0.0], [-0.3, 0.5]])
    parts = [RiemannianNormal(ball, e, s).sample(jax.random.fold_in(KEY, i), n)
             for i, (e, s, n) in enumerate(zip(ends, (0.3, 0.5), (150, 300), strict=True))]  # fmt: skip
    fit = fit_land(ball, jnp.concatenate(parts), 2, key=KEY, iterations=40)
    order = np.argsort(np.asarray(fit.weights))
    for k, end, s in zip(order, ends, (0.3, 0.5), strict=True):
        assert ball.dist(fit.components.mean[k], end) < 0.12
        assert np.linalg.det(fit.components.root[k]) ** 0.5 == pytest.approx(s, rel=0.15)
    assert fit.weights[order[0]] == pytest.approx(1 / 3, abs=0.05)
    assert fit.log_likelihood[-1] > fit.log_likelihood[0] and (np.diff(fit.log_likelihood) >= 0).all()
    assert fit.log_prob(parts[0]).mean() > fit.log_prob(ball.add(parts[0], jnp.array([0.5, 0.5]))).mean()
    with pytest.raises(UsageError, match="step=2"):
        fit_land(ball, parts[0], key=KEY, step=2.0)
