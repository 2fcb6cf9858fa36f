"""Experiments in their smallest form, and the parts of a model."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import multivariate_normal

import genkit
from genkit.errors import UsageError
from genkit_latents.geometry.likelihoods import Normal
from genkit_latents.geometry.manifolds import Euclidean, PoincareBall, Product, Sphere
from genkit_latents.models import (
    Setting,
    agreement,
    elbo,
    fit_rbf,
    importance_bound,
    make_vae,
    metric_penalty,
    space,
    train_phase,
)
from genkit_latents.models.agreement import relative_metric
from genkit_latents.models.vae import posterior_of, principal_line
from genkit_latents.networks.coder import Coder, Mobius, features, place


def test_explicit_metric(tmp_path):
    """A few steps of a flat model and of the target metric; all results are numbers, and a loaded run draws."""
    options = {"models": ("euclidean", "target"), "points": 12}
    run = genkit.run(genkit.config("latents.explicit_metric", "tiny", options), out=tmp_path / "run")
    for model in options["models"]:
        for score in ("elbo", "iwae", "agreement", "distortion", "knn"):
            assert np.isfinite(run.results[f"{score}/{model}"])
        assert run.results[f"iwae/{model}"] >= run.results[f"elbo/{model}"]
    assert set(run.figures) == {"latent", "distances", "draws", "training"}
    assert genkit.load(tmp_path / "run").sample(jax.random.key(0), 3).shape == (3, 64)


@pytest.mark.slow
def test_poincare_tree(tmp_path):
    run = genkit.run(genkit.config("latents.poincare_tree", "tiny", {"models": ("poincare",)}), out=tmp_path / "run")
    assert np.isfinite(run.results["distortion/poincare"]) and np.isfinite(run.results["elbo/poincare"])


def test_pullback(tmp_path):
    """Geodesics are never longer than straight lines, and both metrics have theirs."""
    run = genkit.run(genkit.config("latents.pullback", "tiny"), out=tmp_path / "run")
    for metric in ("mean", "rbf"):
        assert run.results[f"longest/{metric}"] <= 1 + 1e-4
        assert run.results[f"magnification/{metric}"] > 0
    assert {"latent", "training"} == set(run.figures)


@pytest.mark.slow
@pytest.mark.skipif("GENKIT_DATA" not in os.environ, reason="GENKIT_DATA is not set")
def test_manifold_diffusion(tmp_path):
    options = {"data.kind": "volcano"}
    run = genkit.run(genkit.config("latents.manifold_diffusion", "tiny", options), out=tmp_path / "run")
    assert run.results["nll/uniform"] == pytest.approx(np.log(4 * np.pi))
    assert run.results["nll/flow"] < 2.531 and run.results["nll/score"] < 2.531
    assert run.results["repeated"] > 0.8  # of the volcanic eruptions


@pytest.mark.slow
def test_enriched(tmp_path):
    run = genkit.run(genkit.config("latents.enriched", "tiny"), out=tmp_path / "run")
    for distance in ("straight", "pullback", "enriched"):
        assert np.isfinite(run.results[f"ari/{distance}"]) and run.results[f"off/{distance}"] > 0


@pytest.mark.slow
def test_land(tmp_path):
    run = genkit.run(genkit.config("latents.land", "tiny"), out=tmp_path / "run")
    x = run.config.data.load().train
    law = multivariate_normal(x.mean(0), np.cov(x.T, ddof=0))
    inside = law.cdf(x.max(0) + 0.35, lower_limit=x.min(0) - 0.35)  # the grid ends within its tails
    assert np.isfinite(run.results["nll/land_1"]) and run.results["mass/gauss_1"] == pytest.approx(inside, abs=0.02)


def test_wide_radial_posteriors_stay_in_the_ball():
    """Else their samples are cut at the border, their density is not, and the ELBO grows without limit."""
    law = posterior_of(PoincareBall(2, 1.2), "radial", jnp.zeros(2), jnp.full(2, 5.0))
    assert law.std == pytest.approx(1.25 / 1.2**0.5)
    r = law.manifold.dist(law.mean, law.sample(jax.random.key(0), 200))
    assert (r < 5.6).mean() > 0.98


def test_the_line_of_probabilistic_pca():
    """Its images of standard normals have the data's mean and leading covariance; a decoder adds it to its mean."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((4000, 2)) @ np.array([[2.0, 0, 0, 1], [0, 1, 1, 0]]) + 3).astype(np.float32)
    matrix, offset = principal_line(x, 2)
    np.testing.assert_allclose(matrix @ matrix.T, np.cov(x.T, ddof=0), atol=1e-3)
    np.testing.assert_allclose(offset, x.mean(0), rtol=1e-5)
    _, model = train_phase("toy", Setting("e2", linear=True), Coder((4,)), x, "gaussian", steps=1)
    bare = dataclasses.replace(model, line=None)
    z = jnp.array([0.3, -0.5])
    np.testing.assert_allclose((model.decode(z[None]) - bare.decode(z[None]))[0], matrix @ z + offset, rtol=1e-5)
    with pytest.raises(UsageError, match="flat latent space"):
        train_phase("toy", Setting("p2", linear=True), Coder((4,)), x, "gaussian", steps=1)


def test_the_deviation_of_radial_basis_functions():
    """One cluster: the fitted deviation at the codes is that of the residuals; far away it is the largest."""
    rng = np.random.default_rng(0)
    codes, residuals = 0.3 * rng.standard_normal((500, 2)), rng.standard_normal((500, 3)) * np.array([0.1, 0.2, 0.4])
    found = fit_rbf(codes, residuals, centres=1, width=20.0, steps=800)
    np.testing.assert_allclose(found(jnp.zeros(2)), residuals.std(0), rtol=0.02)
    root_mean_square = np.sqrt(np.square(residuals).mean())
    np.testing.assert_allclose(found(jnp.array([1e3, 0.0])), 1000 * root_mean_square, rtol=1e-4)
    with pytest.raises(UsageError, match="centres=500"):
        fit_rbf(codes, residuals, centres=500)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"models": ("flat",)}, "unknown model 'flat'"), ({"models": ()}, "models is empty"), ({"weight": 0.0}, "weight"),
     ({"points": 3}, "more points than"), ({"steps": 0}, "steps=0")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("latents.explicit_metric", "default", options)


def test_agreement_of_a_linear_decoder():
    """x = W z, flat metric: A = W'W / s^2; the penalty is |W'W / c - I|^2 / d, and 0 where W'W is a multiple of I."""
    w = jnp.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    a = relative_metric(Normal(0.5), lambda z: w @ z, jnp.eye(2), jnp.zeros(2))
    np.testing.assert_allclose(a, 4 * w.T @ w, rtol=1e-6)
    scale = 2.5  # mean of the diagonal of W'W
    expected = ((4 / scale - 1) ** 2 + (1 / scale - 1) ** 2) / 2
    assert metric_penalty(a[None]) == pytest.approx(expected, rel=1e-5)
    found = agreement(a[None])
    assert found.difference == pytest.approx(expected**0.5, rel=1e-5) and found.condition == pytest.approx(4, rel=1e-5)
    turned = jnp.array([[0.6, -0.8], [0.8, 0.6]])
    assert agreement(3 * (turned.T @ turned)[None]).difference == pytest.approx(0, abs=1e-6)


def test_the_metric_of_the_ball_agrees_with_its_isometric_embedding():
    """A decoder whose metric is the ball's up to scale: the frame makes A a multiple of I at every point."""
    ball = PoincareBall()
    z = jnp.array([0.5, 0.3])
    decoder = lambda w: ball._scale(z) * 3 * w  # noqa: E731
    a = relative_metric(Normal(), decoder, ball.frame(z), z)
    np.testing.assert_allclose(a, 9 * np.eye(2), rtol=1e-5)


def test_mobius_layers():
    """Without the point b linear in the logarithm; adding b is to walk along its logarithm, carried there."""
    ball, layer = PoincareBall(2, 0.7), Mobius(2, 2, nnx.Rngs(0))
    x, y = jnp.array([[0.3, 0.4], [-0.5, 0.1]])
    np.testing.assert_allclose(layer(ball, x), layer.weight[...] @ features(ball, x), rtol=1e-5)
    layer.weight[...] = 0.5 * jnp.eye(2)
    assert jnp.linalg.norm(layer(ball, x)) == pytest.approx(float(ball.dist(x, 0 * x)) / 2, rel=1e-5)
    layer.weight[...], layer.bias[...] = jnp.array([[0.6, -0.8], [0.8, 0.6]]), jnp.array([0.2, 0.3])
    turned = place(ball, layer.weight[...] @ features(ball, x))
    assert ball.dist(0 * x, turned) == pytest.approx(float(ball.dist(0 * x, x)), rel=1e-5)
    moved = ball.exp(turned, ball.transport(0 * x, turned, layer.bias[...]))
    np.testing.assert_allclose(place(ball, layer(ball, x)), moved, rtol=1e-5)


def test_decoders_of_the_ball():
    """Of the right sizes; networks that are apart are two, of means and of deviations."""
    for decoder, apart in (("mobius", False), ("gyroplane", True)):
        model = make_vae(Setting("p2"), Coder((4, 8), "tanh", decoder, apart), 3, "gaussian", jax.random.key(0))
        mean, std = jax.eval_shape(model.encode, jnp.ones((5, 3)))
        assert mean.shape == std.shape == (5, 2) and jax.eval_shape(model.eta, jnp.zeros(2)).shape == (6,)
        for part, sizes in (("encoder", (2, 2)), ("decoder", (3, 3))):
            last = [layers[max(layers)]["bias"][...].shape[0] for layers in model.params["net"][part].values()]
            assert last == (list(sizes) if apart else [sum(sizes)])


def test_spaces():
    found = space("p2, s2,e3", 0.5)
    manifold = found.manifold(found.start())
    assert isinstance(manifold, Product) and manifold.dim == 7 and manifold.shape == (8,)
    assert isinstance(manifold.factors[1], Sphere) and manifold.factors[1].kappa == pytest.approx(0.5)
    assert isinstance(space("e2").manifold(space("e2").start()), Euclidean)
    for wrong in ("x2", "p", "p0", "p2;e2", ""):
        with pytest.raises(UsageError, match="expected a letter and a dimension"):
            space(wrong)
    with pytest.raises(UsageError, match="radial posterior"):
        model = make_vae(Setting("p2,e1", posterior="radial"), Coder((4,)), 3, "normal", jax.random.key(0))
        elbo(model, jax.random.key(0), jnp.zeros((2, 3)))
    with pytest.raises(UsageError, match="gyroplane"):
        make_vae(Setting("e2"), Coder((4,), decoder="gyroplane"), 3, "normal", jax.random.key(0))


@pytest.mark.parametrize("latent", ["p2", "u2,s2,e1"])
def test_bounds_of_products_and_learnable_curvature(latent):
    """The importance bound is above the ELBO, and curvatures get finite gradients, also at zero."""
    model = make_vae(Setting(latent, curvature=0.7), Coder((8,)), 5, "bernoulli", jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 5)), jnp.float32)

    @jax.jit
    def both(params):
        now = dataclasses.replace(model, params=params)
        return elbo(now, jax.random.key(1), x, 8)[0].mean(), importance_bound(now, jax.random.key(1), x, 8).mean()

    (low, high), slope = both(model.params), jax.jit(jax.grad(lambda p: both(p)[0]))(model.params)
    assert low <= high
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert np.abs(slope["curvature"][0]) > 0
