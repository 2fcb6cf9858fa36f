"""Autoencoders and their parts, none of them trained."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit
import genkit_latents
from genkit.errors import GenkitError, UsageError
from genkit_latents.data import Points
from genkit_latents.datasets import Rows
from genkit_latents.figures import latent_space
from genkit_latents.files import read_rows
from genkit_latents.geometry.ambient import InverseDensity, StandardNormal
from genkit_latents.geometry.likelihoods import Normal
from genkit_latents.geometry.manifolds import Euclidean, PoincareBall, Product, Sphere
from genkit_latents.geometry.paths import length, straight
from genkit_latents.models import (
    Setting,
    agreement,
    elbo,
    fit_rbf,
    importance_bound,
    metric_penalty,
    relative_metric,
    space,
)
from genkit_latents.models.laws import posterior_of
from genkit_latents.models.training import fresh, principal_line, untrained
from genkit_latents.networks.coder import Coder, Mobius, features, place

KEY = jax.random.key(0)


def vae(setting, x, likelihood="normal", coder=Coder((8,), "tanh")):  # noqa: B008
    """A model of rows like x with fresh parameters."""
    return fresh(untrained(setting, coder, x, likelihood), KEY)


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    """A model in the Poincare ball, from its folder."""
    folder = vae(Setting("p2"), np.zeros((1, 3))).save(tmp_path_factory.mktemp("models") / "ball")
    return genkit.load_model(folder)


def test_geodesics_and_means_of_a_loaded_model(ball):
    """In the ball: a diameter of length 2 artanh r twice, whose middle is the mean; the picture is drawn."""
    z = np.array([[-0.5, 0.0], [0.5, 0.0]], np.float32)
    found = ball.geodesics(z[:1], z[1:], points=5)
    assert found.converged.all() and found.length[0] == pytest.approx(4 * np.arctanh(0.5), rel=1e-5)
    np.testing.assert_allclose(found.curve[0, :, 1], 0, atol=1e-6)
    np.testing.assert_allclose(found.curve[0, 1:4, 0], np.tanh(np.arctanh(0.5) * np.array([-0.5, 0, 0.5])), atol=1e-6)
    np.testing.assert_allclose(ball.mean(z), 0, atol=1e-5)
    codes = ball.codes(KEY, 20)
    assert latent_space(ball, codes, curves=found.curve, marks=ball.mean(z)[None]).axes
    with pytest.raises(GenkitError, match=r"p\[0\] = \[1.2 0. \] is not on the manifold"):
        ball.geodesics(np.array([[1.2, 0.0]]), z[1:])


def test_geodesics_under_a_deviation():
    """They are no longer than the straight line under the metric of mean and deviation, and go around what is far."""
    x = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    model = vae(Setting("e2", linear=True), x, "gaussian")
    angle = np.linspace(0, np.pi, 40)
    codes = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)  # half a circle: the way along it is short
    residuals = 0.1 * np.ones((40, 3), np.float32)
    # twice as many centres make spikes between them that 32 segments do not resolve, which is told
    model = dataclasses.replace(model, deviation=fit_rbf(codes, residuals, centres=10, width=2.0, steps=100))
    p, q = codes[:1], codes[-1:]
    found, metric = model.geodesics(p, q, points=21), model.manifold.metric
    assert found.converged.all() and found.length[0] < length(metric, straight(p[0], q[0], 64))
    assert jnp.linalg.norm(found.curve[0, 10]) > 0.5  # the straight line is at 0


def test_a_request_reads_files(ball, tmp_path):
    """Latent points from .csv, data from .npy; what does not fit is refused by the name of the file."""
    write = lambda name, x: np.savetxt(tmp_path / name, x, delimiter=",")  # noqa: E731
    z = np.array([[0.1, 0.2], [-0.3, 0.4]])
    write("z.csv", z)
    write("o.csv", z[:1])
    ask = lambda **options: ball.sample(KEY, 1, **options)  # noqa: E731
    found = ask(start=tmp_path / "z.csv", end=tmp_path / "o.csv", space="latent", points=4)
    assert found["samples"].shape == (2, 4, 3) and found["length"][0] == 0 and found["converged"].all()
    np.testing.assert_allclose(found["samples"][1, -1], ball.decode(jnp.asarray(z[:1], jnp.float32))[0], atol=1e-5)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_allclose(
        ask(start=tmp_path / "x.npy", end=tmp_path / "x.npy")["latents"][:, 0], ball.encode(x)[0], atol=1e-5
    )
    write("far.csv", np.array([[0.9, 0.9]]))
    for options, says in (
        ({"start": "z.csv", "end": "far.csv", "space": "latent"}, r"far.csv: points\[0\] = .* is not on the manifold"),
        ({"start": "x.npy", "end": "z.csv"}, r"z.csv has an array \(2, 2\); expected \(n, 3\), rows of data"),
        ({"start": "z.csv", "end": "none.csv", "space": "latent"}, "cannot read .*none.csv: No such file"),
    ):
        files = {name: tmp_path / f if name != "space" else f for name, f in options.items()}
        with pytest.raises(GenkitError, match=says):
            ask(**files)
    with pytest.raises(UsageError, match="two ends"):
        ask(start=tmp_path / "z.csv")


def test_draws_do_not_depend_on_chunks(ball):
    pieces = [list(ball.request()(ball, KEY, 5, chunk)) for chunk in (5, 2)]
    whole, parts = ({name: np.concatenate([p[name] for p in some]) for name in some[0]} for some in pieces)
    assert [len(p["samples"]) for p in pieces[1]] == [2, 2, 1]
    for name in ("samples", "latents"):
        np.testing.assert_allclose(whole[name], parts[name], atol=1e-6)


def test_rows_of_files(tmp_path):
    """A header is skipped, and columns are taken by the name of their array."""
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    np.savetxt(tmp_path / "own.csv", x, delimiter=",", header="height,width,depth", comments="")
    np.testing.assert_array_equal(read_rows(tmp_path / "own.csv", "samples"), x)
    np.savetxt(tmp_path / "drawn.csv", x, delimiter=",", header="samples.0,samples.1,latents.0", comments="")
    np.testing.assert_array_equal(read_rows(tmp_path / "drawn.csv", "latents"), x[:, 2:])
    np.savez(tmp_path / "two.npz", a=x, b=x)
    (tmp_path / "text.csv").write_text("1,2\n3,word\n")
    np.save(tmp_path / "flat.npy", x[0])
    for name, says in (
        ("two.npz", "has the arrays a, b; expected one, or one named samples"), ("text.csv", "cannot read"),
        ("flat.npy", r"an array \(3,\) of float64; expected numbers, one row a point"), ("a.txt", "ends in .npz, .npy"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=says):
            read_rows(tmp_path / name, "samples")


def test_labels_of_own_rows(tmp_path):
    """None are needed; files that hold none, too few or no classes are refused by name."""
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((10, 3)))
    (tmp_path / "text.npy").write_text("0 1 2")
    for name, y in (("good", np.arange(10)), ("few", np.arange(3)), ("real", np.zeros(10)), ("low", np.arange(10) - 1)):
        np.save(tmp_path / f"{name}.npy", y)
    np.save(tmp_path / "words.npy", np.array(["a", "b"] * 5))
    np.save(tmp_path / "flags.npy", np.arange(10) > 4)
    np.savez(tmp_path / "other.npz", y=np.arange(10))
    assert Rows(tmp_path / "rows.npy").load().train_labels is None
    found = Rows(tmp_path / "rows.npy", tmp_path / "good.npy").load()
    assert sorted([*found.train_labels, *found.test_labels]) == list(range(10))
    for name, says in (
        ("none.npy", "cannot read .*none.npy: No such file"), ("text.npy", "cannot read .*text.npy: it is no .npy"),
        ("few.npy", r"few.npy has an array \(3,\); expected \(10,\)"), ("real.npy", "real.npy has labels of float64"),
        ("low.npy", "labels from -1; expected 0, 1, 2"), ("words.npy", "labels of <U1; expected whole numbers 0, 1"),
        ("flags.npy", "labels of bool; expected whole"), ("other.npz", "other.npz has no array `labels`; it has y"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=says):
            Rows(tmp_path / "rows.npy", tmp_path / name).load()


def test_readme_and_page_run(tmp_path, monkeypatch):
    """Their Python, each part by itself, where there are a model and a file of rows."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    vae(Setting("e2"), np.zeros((1, 3))).save("runs/x")
    np.save("rows.npy", rng.standard_normal((20, 3)))
    root = Path(genkit_latents.__file__).parents[3]
    text = "\n".join((root / page).read_text() for page in ("plugins/latents/README.md", "docs/domains/latents.md"))
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    made = []
    for block in blocks:
        names = {"__name__": "readme"}
        exec(block, names)
        made.append(names)
    assert made[0]["found"].curve.shape == (1, 65, 2) and Path("latent.png").is_file()
    assert made[1]["Mine"]().load().train.shape == (16, 3)
    assert made[2]["found"].length[0] == pytest.approx(2.46957775, rel=1e-5)
    assert made[3]["a"] == pytest.approx(2, abs=0.01)
    assert made[4]["x"].shape == (100, 3)


def test_a_metric_survives_in_a_folder(tmp_path):
    """The target metric is data of the model: read again it is the same, and so are the codes."""
    target = InverseDensity.between(StandardNormal(), 1.0, 2, 1.0, 4.0)
    model = vae(Setting("e2", metric=target, weight=1.0), np.zeros((1, 3)), "bernoulli")
    again = genkit.load_model(model.save(tmp_path / "model"))
    z, x = jnp.array([0.3, -0.4]), jnp.ones((2, 3))
    assert again.chosen.metric.conformal(z) == target.conformal(z)
    np.testing.assert_array_equal(again.encode(x)[0], model.encode(x)[0])
    with pytest.raises(UsageError, match="model of rows of 3; toy has rows of 4"):
        again.check(Points(np.zeros((1, 4)), np.zeros((1, 4)), "normal", "toy"))


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
    model = vae(Setting("e2", linear=True), x, "gaussian")
    bare = dataclasses.replace(model, line=None)
    z = jnp.array([0.3, -0.5])
    np.testing.assert_allclose((model.decode(z[None]) - bare.decode(z[None]))[0], matrix @ z + offset, rtol=1e-5)
    with pytest.raises(UsageError, match="flat latent space"):
        vae(Setting("p2", linear=True), x, "gaussian")


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
        model = vae(Setting("p2"), np.zeros((1, 3)), "gaussian", Coder((4, 8), "tanh", decoder, apart))
        mean, std = jax.eval_shape(model.encode, jnp.ones((5, 3)))
        assert mean.shape == std.shape == (5, 2) and jax.eval_shape(model.eta, jnp.zeros(2)).shape == (6,)
        for part, sizes in (("encoder", (2, 2)), ("decoder", (3, 3))):
            last = [layers[max(layers)]["bias"].shape[0] for layers in model.params["net"][part].values()]
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
    with pytest.raises(UsageError, match="gyroplane"):
        vae(Setting("e2"), np.zeros((1, 3)), coder=Coder((4,), decoder="gyroplane"))


@pytest.mark.parametrize("latent", ["p2", "u2,s2,e1"])
def test_bounds_of_products_and_learnable_curvature(latent):
    """The importance bound is above the ELBO, and curvatures get finite gradients, also at zero."""
    model = vae(Setting(latent, curvature=0.7), np.zeros((1, 5)), "bernoulli")
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 5)), jnp.float32)

    @jax.jit
    def both(params):
        now = dataclasses.replace(model, params=params)
        return elbo(now, jax.random.key(1), x, 8)[0].mean(), importance_bound(now, jax.random.key(1), x, 8).mean()

    (low, high), slope = both(model.params), jax.jit(jax.grad(lambda p: both(p)[0]))(model.params)
    assert low <= high
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert np.abs(slope["curvature"][0]) > 0


def test_the_bound_of_spheres_is_one():
    """A posterior that goes around many times has even angles to its mean: E log q - log p is log 4 / pi against the
    uniform prior. A product has the sum of its factors."""

    @jax.jit
    def divergence(key):
        sphere = Sphere()
        q = posterior_of(sphere, "wrapped", sphere.origin, jnp.array([3.0, 3.0]))
        return jax.vmap(q.log_prob)(q.sample(key, 4000)).mean() + sphere.log_area

    assert divergence(KEY) == pytest.approx(np.log(4 / np.pi), abs=0.05)
    both, mean = Product((Sphere(), PoincareBall())), jnp.array([1.0, 0, 0, 0.1, 0.2])
    q = posterior_of(both, "radial", mean, jnp.array([0.3, 0.3, 0.5, 0.5]))
    z = q.sample(KEY, 3)
    parts = [posterior_of(f, "radial", m, s) for f, m, s in zip(
        both.factors, both.split(mean), (jnp.full(2, 0.3), jnp.full(2, 0.5)), strict=True)]  # fmt: skip
    known = sum(law.log_prob(x) for law, x in zip(parts, both.split(z[0]), strict=True))
    assert q.log_prob(z[0]) == pytest.approx(float(known), rel=1e-6)


def test_a_model_is_used_in_another_process(tmp_path):
    file = Path(__file__).parents[3] / "examples" / "use_a_model.py"
    spec = importlib.util.spec_from_file_location("use_a_model", file)
    assert spec and spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert example.main(tmp_path, steps=5).stat().st_size > 10_000


@pytest.mark.slow
def test_the_example_of_own_rows(tmp_path):
    """From a file without labels to a picture."""
    file = Path(__file__).parents[3] / "examples" / "own_latents.py"
    spec = importlib.util.spec_from_file_location("own_latents", file)
    assert spec and spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert example.main(tmp_path, "tiny").stat().st_size > 10_000
