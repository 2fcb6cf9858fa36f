"""Experiments in their smallest form, and the parts of a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
from genkit.errors import UsageError
from genkit_latents.geometry.likelihoods import Normal
from genkit_latents.geometry.manifolds import Euclidean, PoincareBall, Product, Sphere
from genkit_latents.models import Setting, agreement, elbo, importance_bound, make_vae, metric_penalty, space
from genkit_latents.models.agreement import relative_metric
from genkit_latents.networks.coder import Coder


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
        import dataclasses

        now = dataclasses.replace(model, params=params)
        return elbo(now, jax.random.key(1), x, 8)[0].mean(), importance_bound(now, jax.random.key(1), x, 8).mean()

    (low, high), slope = both(model.params), jax.jit(jax.grad(lambda p: both(p)[0]))(model.params)
    assert low <= high
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert np.abs(slope["curvature"][0]) > 0
