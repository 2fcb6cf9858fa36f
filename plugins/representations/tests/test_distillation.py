"""Networks, views, and self-distillation as a recipe."""

import dataclasses
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
from genkit.errors import DataError, UsageError
from genkit.nn import Net
from genkit.train import AdamW, TrainState
from genkit_representations import evaluation, views
from genkit_representations.data import Samples
from genkit_representations.datasets.clusters import Clusters
from genkit_representations.datasets.digits import Digits
from genkit_representations.models.distillation import Distillation, ImageDistillation, _still, _with_moments, stuck
from genkit_representations.models.optimizer import DINOAdamW, OneCycle
from genkit_representations.networks.head import Head, Prototyper
from genkit_representations.networks.vit import ViT
from genkit_representations.prototypes import objective

RNG = np.random.default_rng(0)


# networks


def test_views():
    """Crops keep a constant image; a mask has its share; kept patches are different ones; noise is noise."""
    key = jax.random.key(0)
    crops = dataclasses.replace(views.Crops(), jitter=(0.0,) * 4, small=2, blur=(1.0, 1.0, 1.0), flip=0.5, solarise=0.0)
    large, small = jax.jit(crops)(key, jnp.full((3, 8, 8, 1), 0.4))
    assert large.shape == (2, 3, 8, 8, 1) and small.shape == (2, 3, 4, 4, 1)
    np.testing.assert_allclose(large, 0.4, atol=1e-4)
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 16)[:, None, None], (16, 16, 1))
    cut = jax.vmap(lambda k: views.resized_crop(k, ramp, 8, (0.25, 0.25)))(jax.random.split(key, 200))
    rise = (cut[:, 6] - cut[:, 1]).mean(1)[:, 0] / 5 * 8  # of the whole side
    assert 0.43 * 16 / 15 * 0.9 < rise.min() and rise.max() < 0.58 * 16 / 15 * 1.1  # sqrt(1/4) times 3:4 to 4:3
    mask = views.random_mask(key, 400, (2, 5), (0.3, 0.3))
    assert (mask.sum(1) == 3).all() and 0.2 < mask[:, 0].mean() < 0.4
    for hide in (views.random_mask, jax.jit(views.block_mask, static_argnums=(1, 2))):
        some = hide(key, 400, (2, 5), (0.1, 0.5), 0.5)
        assert 0.4 < (some.sum(1) == 0).mean() < 0.6 and some.sum(1).max() == 5
    pairs = []  # of neighbours that are both hidden: more of them in rectangles than among single patches
    for hide in (views.random_mask, views.block_mask):
        masks = np.asarray(hide(key, 50, (6, 6), (0.3, 0.3))).reshape(50, 6, 6)
        assert (masks.sum((1, 2)) == 11).all()
        pairs.append((masks[:, 1:] & masks[:, :-1]).sum() + (masks[:, :, 1:] & masks[:, :, :-1]).sum())
    assert pairs[1] > 1.5 * pairs[0]
    keep = views.kept(key, 5, 10, 0.15)
    assert keep.shape == (5, 8) and all(len(set(row)) == 8 for row in np.asarray(keep))
    noisy, none = views.Noise(3, 0.5)(key, jnp.zeros((1000, 4)))
    assert none is None and noisy.shape == (3, 1000, 4) and float(noisy.std()) == pytest.approx(0.5, rel=0.03)


def test_colours():
    """Grey stays grey under saturation and hue; hue keeps the brightness; brightness scales; blur keeps the mean."""
    key = jax.random.key(1)
    grey = jnp.full((2, 2, 3), 0.5)
    np.testing.assert_allclose(views.jitter(key, grey, (0, 0, 0.4, 0.1)), grey, atol=2e-3)
    red = jnp.broadcast_to(jnp.array([0.6, 0.4, 0.4]), (2, 2, 3))
    turned = views.jitter(key, red, (0, 0, 0, 0.1))
    assert jnp.abs(turned - red).max() > 0.01
    np.testing.assert_allclose(views.luma(turned), views.luma(red), atol=3e-3)
    half = views.jitter(key, grey, (0.4, 0, 0, 0))
    assert 0.3 <= float(half.mean()) <= 0.7 and float(jnp.ptp(half)) < 1e-6
    point = jnp.zeros((15, 15, 1)).at[7, 7].set(1.0)
    blurred = views.gaussian_blur(point, jnp.float32(1.0))
    known = np.exp(-(np.arange(-5, 6) ** 2) / 2)
    np.testing.assert_allclose(blurred[2:13, 7, 0] / blurred[7, 7, 0], known, atol=1e-4)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-4)


# data and evaluation


def test_data():
    data = Clusters(clusters=4, dim=3, points=400, test=5).load()
    sizes = np.bincount(data.labels)
    assert sizes[0] > sizes[1] > sizes[3] and np.bincount(data.test_labels).tolist() == [5] * 4
    tailed = np.bincount(Digits(tail=0.05).load().labels)
    assert tailed[9] == pytest.approx(0.05 * tailed[0], abs=2) and (np.diff(tailed) < 0).all()
    x = np.ones((3, 2), np.float32)
    with pytest.raises(DataError, match="train has 1 rows with NaN"):
        Samples(np.where([[True], [False], [False]], np.nan, x), np.zeros(3, int), x, np.zeros(3, int))
    with pytest.raises(DataError, match="labels have shape"):
        Samples(x, np.zeros(2, int), x, np.zeros(3, int))


def test_classifiers():
    """Weighted votes by hand; balanced accuracy; groups by frequency."""
    train = np.array([[1.0, 0], [1, 0.1], [0, 1]])
    assert evaluation.knn(train, np.array([0, 1, 1]), np.array([[1.0, 0.0]]), k=1).tolist() == [0]
    # exp(1 / .07) against exp(.995 / .07) + exp(0)
    assert evaluation.knn(train, np.array([0, 1, 1]), np.array([[1.0, 0.0]]), k=3).tolist() == [0]
    assert evaluation.knn(train, np.array([0, 1, 1]), np.array([[1.0, 0.06]]), k=3, temperature=9.0).tolist() == [1]
    assert evaluation.balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1])) == 1
    assert evaluation.balanced(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])) == 0.5
    found = evaluation.by_frequency(np.array([0, 1, 1]), np.array([0, 1, 2]), np.repeat([0, 1, 2], [101, 20, 19]))
    assert found == {"head": 1.0, "middle": 1.0, "tail": 0.0}
    rows = evaluation.few(np.repeat([0, 1], [9, 2]), 3)
    assert np.bincount(np.repeat([0, 1], [9, 2])[rows]).tolist() == [3, 2]


# optimisers


def test_optimisers():
    """Schedules, decay of matrices alone (no layer scales), and DINOv2's factors of layers, here of 3 blocks."""
    one = jnp.ones((2, 2))
    blocks = {"kernel": jnp.ones((3, 2, 2)), "bias": jnp.ones((3, 2)), "scales": jnp.ones((3, 2, 2))}
    params = {
        "encoder": {"blocks": blocks, "embed": {"kernel": one}, "token": one, "position": one, "registers": one,
                    "norm": {"scale": jnp.ones(2)}},
        "head": {"last": one},
    }  # fmt: skip
    still = jax.tree.map(jnp.zeros_like, params)
    rule = DINOAdamW(lr=1.0, lr_end=1.0, warmup=0.0, decay=(0.1, 0.1), layers=0.5, patches=0.2)
    updates = rule.build(10).update(still, rule.build(10).init(params), params)[0]
    known = -0.1 * 0.5 ** np.array([3, 2, 1])  # the last block is one below the norm
    np.testing.assert_allclose(updates["encoder"]["blocks"]["kernel"][:, 0, 0], known, rtol=1e-6)
    for name in ("token", "position", "registers"):
        assert updates["encoder"][name][0, 0] == pytest.approx(-0.1 * 0.5**4)
    assert updates["encoder"]["embed"]["kernel"][0, 0] == pytest.approx(-0.1 * 0.5**4 * 0.2)
    assert updates["head"]["last"][0, 0] == pytest.approx(-0.1)
    for vectors in ("bias", "scales"):
        assert jnp.all(updates["encoder"]["blocks"][vectors] == 0)
    masked = {"masked": jnp.ones(2), "blocks": params["encoder"]["blocks"], "norm": {"scale": jnp.ones(2)}}
    after = rule._scaled(masked)
    assert after["masked"][0] == 0.5**4 and after["norm"]["scale"][0] == 1
    rule = OneCycle(lr=1.0, rise=0.5, start=10.0, end=100.0)
    state, rates = rule.build(20).init(jnp.zeros(())), []
    for _ in range(21):
        step, state = rule.build(20).update(jnp.ones(()), state)
        rates.append(-float(step))
    assert rates[0] == pytest.approx(0.1, rel=1e-4) and rates[10] == pytest.approx(1, rel=1e-4)
    assert rates[20] == pytest.approx(0.001, rel=1e-2)


# training


def recipe(**options):
    return dataclasses.replace(Distillation.preset("tiny"), **options)


def one_step(recipe, data, x, freeze=0.0):
    """State before and after a step, and its metrics."""
    recipe = dataclasses.replace(recipe, freeze=freeze)
    model = recipe._untrained(data)
    optimizer = recipe.optimizer.build(10)
    student = model.net.init(jax.random.key(0))
    aux = {"centers": model.centers, "near": jnp.zeros((recipe.head.prototypes, 1), jnp.int32)}
    state = TrainState(jnp.int32(0), student, aux, optimizer.init(student), student)
    return state, *jax.jit(recipe._step(model, optimizer, 10))(state, x, jax.random.key(1))


@pytest.fixture(scope="module")
def data():
    return Clusters(clusters=4, dim=6, points=64, test=4).load()


def test_a_step(data):
    """The teacher is an average over everything, prototypes too; frozen prototypes stay; the centre has moved."""
    small = recipe(momentum=0.9, optimizer=AdamW(lr=1e-2))
    before, after, metrics = one_step(small, data, data.train[:16])
    known = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, before.params, after.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.ema, known)
    assert jnp.abs(after.params["head"]["last"] - before.params["head"]["last"]).max() > 1e-4
    assert jnp.abs(after.aux["centers"]["cls"]).max() > 0
    _, frozen, _ = one_step(small, data, data.train[:16], freeze=0.5)
    np.testing.assert_array_equal(frozen.params["head"]["last"], before.params["head"]["last"])
    assert metrics["loss"] == pytest.approx(float(metrics["distillation"] + 0.1 * metrics["kp"]), rel=1e-5)


def devices_agree():
    """A step over four devices is that of one: Sinkhorn, centres and nearest neighbours are global."""
    from genkit.parallel import make_mesh, replicate, shard_batch

    data = Clusters(clusters=4, dim=6, points=64, test=4).load()
    for method in ("sinkhorn", "me_max", "centering"):
        small, x = recipe(method=method), data.train[:16]
        _, alone, metrics = one_step(small, data, x)
        mesh = make_mesh()
        with jax.set_mesh(mesh):
            _, together, split = one_step(small, data, shard_batch(x, mesh))
        assert abs(metrics["loss"] - split["loss"]) < 1e-5
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), alone.ema, jax.device_get(together.ema))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), alone.aux, jax.device_get(together.aux))
        replicate(jnp.zeros(1), mesh)


def test_devices():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, __file__], env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny study of vectors."""
    return genkit.run(genkit.config("representations.prototypes", "tiny"), out=tmp_path_factory.mktemp("run") / "run")


def test_the_study_of_prototypes(run):
    results = run.results
    for method in ("centering", "centering_kp"):
        assert 1 <= results[f"unique/{method}"] <= 32 and 0 <= results[f"knn/{method}"] <= 1
    assert set(run.figures) == {"redundancy", "similarity", "sphere", "usage", "training"}


def test_the_trained_model(run, tmp_path):
    """Saved and read without the study; its answers do not depend on chunks; probabilities sum to one."""
    run.model.save(tmp_path / "model")
    model = genkit.load_model(tmp_path / "model")
    x = run.config.data.load().test
    np.testing.assert_allclose(model.features(x[:3]), run.model.features(x)[:3], atol=1e-5)
    p = model.probabilities(x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert model.prototypes().shape == (32, 8) and not np.allclose(model.prototypes("student"), model.prototypes())
    with pytest.raises(UsageError, match="samples of shape \\(8,\\)"):
        model.features(x[:, :3])
    from genkit_representations.commands import Prototypes

    Prototypes(tmp_path / "model").run()


def test_a_loss_that_is_stuck(run):
    """What a student that says the same of everything has; said once, in a line."""
    assert stuck(math.log(4096), 4096) and math.log(4096) == pytest.approx(8.317766, abs=1e-6)
    assert not stuck(8.31, 4096) and math.log(65536) == pytest.approx(11.090355, abs=1e-6)

    class Run:
        said: list[str] = []

        def key(self, name):
            return jax.random.key(0)

        def say(self, text):
            self.said.append(text)

    flat = recipe(kp=0.0)
    data = Clusters(clusters=6, dim=8, points=300).load()
    model = flat._untrained(data)
    params = model.net.init(jax.random.key(0))
    params["head"]["layers"][0] = jax.tree.map(jnp.zeros_like, params["head"]["layers"][0])  # all outputs are zero
    state = TrainState(jnp.int32(0), params, {"centers": model.centers}, None, params)
    look = flat._watch(Run(), model, data.train[:16])
    found = [look(state, step) for step in range(5)]
    assert found[0]["val/distillation"] == pytest.approx(math.log(32), abs=1e-5)
    assert len(Run.said) == 1 and "stays at log K = 3.4657" in Run.said[0]


@pytest.mark.slow
def test_the_study_of_images(tmp_path):
    run = genkit.run(genkit.config("representations.images", "tiny"), out=tmp_path / "run")
    for name in ("knn/ibot_kp", "linear/ibot_kp", "few_shot/ibot_kp", "knn/pixels", "unique/ibot_kp"):
        assert np.isfinite(run.results[name])
    assert {"views", "similarity"} <= set(run.figures)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"method": "dino"}, "no method 'dino'"), ({"kp": -1.0}, "kp=-1.0"), ({"steps": 0}, "steps=0"),
     ({"method": "me_max", "views": views.Noise(number=1)}, "at least 2"),
     ({"views": views.Noise(number=1)}, "at least 2"), ({"drop": 0.1}, "got centering with MLPEncoder"),
     ({"drop": 0.1, "method": "ibot", "network": ViT.preset("tiny")}, "got ibot with ViT")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        recipe(**options)


@pytest.mark.parametrize("options", [{"number": 0}, {"std": -1.0}])
def test_wrong_noise(options):
    with pytest.raises(UsageError, match="number=.*std="):
        views.Noise(**options)


def test_the_momentum_of_a_teacher():
    """That of the recipe takes the place of the method's, but the teacher of SwAV stays the student."""
    x, y = np.zeros((4, 8, 8, 1), np.float32), np.zeros(4, int)
    images = Samples(x, y, x, y)
    for method, known in (("swav", (0, 0)), ("centering", (0.99, 1))):
        assert ImageDistillation(method=method)._untrained(images).objective.momentum == known


def test_frozen_prototypes():
    """Directions and lengths of both heads stay; the rest of the heads does not."""
    vit = ViT.preset("tiny")
    net = Net(Prototyper(vit, Head(8, 4, 2, 4), free=True, patches=True, shared=False), ((4, 4, 1),))
    ones = jax.tree.map(lambda a: jnp.ones(a.shape), net.shapes())
    for frozen in (True, False):
        after = _still(ones, frozen)
        for head in ("head", "patch_head"):
            assert jnp.all(after[head]["last"] == (not frozen)) and jnp.all(after[head]["gain"] == (not frozen))
            assert all(jnp.all(a == 1) for a in jax.tree.leaves(after[head]["layers"]))
        assert all(jnp.all(a == 1) for a in jax.tree.leaves(after["encoder"]))


def test_wrong_data(data):
    with pytest.raises(UsageError, match="crops are of images"):
        ImageDistillation().fit(None, data)
    with pytest.raises(UsageError, match="methods="):
        genkit.config("representations.prototypes", "tiny", {"methods": ("dino",)})
    assert objective("dinov2").koleo == 0.1


@pytest.mark.parametrize(
    ("options", "says"),
    [({"network": "vit", "network.patch": 3}, "patches of 3 for samples of shape \\(8, 8, 1\\)"),
     ({"network": "vit", "network.patch": 4, "views.small": 2, "views.small_size": 6}, "shape \\(6, 6, 1\\)"),
     ({"network": "vit", "views.size": 10}, "shape \\(10, 10, 1\\)"),
     ({"views.size": 0}, "size=0"), ({"views.small": 1, "views.small_size": 0}, "small_size=0"),
     ({"network": "cnn", "methods": ("ibot",)}, "ibot hides patches; CNN has none"),
     ({"network": "mlp", "drop": 0.2}, "drop=0.2"), ({"data": "clusters"}, "crops are of images"),
     ({"views.small": 1}, "no views of shape \\(4, 4, 1\\)")],
)  # fmt: skip
def test_sizes_are_refused_with_the_configuration(options, says):
    """Before a folder is made, and in one line."""
    with pytest.raises(UsageError, match=says) as caught:
        genkit.config("representations.images", "default", options)
    assert "\n" not in str(caught.value)


def test_the_moments_of_a_trained_head(data):
    """They are those of the training samples, so that the answers do not hang on the batch."""
    small = recipe(head=Head(32, 16, 3, 8, batch_norm=True))
    model = small._untrained(data)
    params = model.net.init(jax.random.key(0))
    after = _with_moments(model, params, data.train)
    assert jax.tree.structure(after) == jax.tree.structure(params)
    model = dataclasses.replace(model, student=after, teacher=after)
    first = model.features(data.train) @ np.asarray(params["head"]["layers"][0]["kernel"])
    np.testing.assert_allclose(after["head"]["norms"][0]["mean"], first.mean(0), atol=1e-5)
    np.testing.assert_allclose(after["head"]["norms"][0]["variance"], first.var(0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(model.probabilities(data.test[:3]), model.probabilities(data.test)[:3], atol=1e-5)


def test_batch_norm():
    """In training by the moments of the batch, all views together; the trained head keeps those of the data."""
    head = Head(6, 16, 3, 4, batch_norm=True)
    net = Net(Prototyper(ViT(2, 8, 1, 2), head), ((4, 4, 1),))
    module = net.module(net.init(jax.random.key(0)))
    large, small = RNG.standard_normal((2, 5, 4, 4, 1)), RNG.standard_normal((1, 5, 2, 2, 1))
    features = module(large, small).features
    z = [np.asarray(layer.kernel[...]) for layer in module.head.layers]
    x = np.asarray(features)
    for kernel in z[:2]:
        x = x @ kernel
        mean, variance = x.mean((0, 1)), x.var((0, 1))
        x = np.asarray(jax.nn.gelu((x - mean) / np.sqrt(variance + 1e-5), approximate=False))
    known = x @ z[2]
    known = known / np.linalg.norm(known, axis=-1, keepdims=True) @ np.asarray(module.head.prototypes()).T
    trained = module(large, small, training=True).logits
    assert jnp.abs(module.head(features[:, :2], True) - trained[:, :2]).max() > 1e-3  # another batch
    np.testing.assert_allclose(module(large, small, training=True).logits, known, atol=2e-5)
    np.testing.assert_allclose(module(large, small).logits, known, atol=2e-5)  # the moments were kept
    np.testing.assert_allclose(module.head(features[:, :2]), known[:, :2], atol=2e-5)  # and hang on no batch


if __name__ == "__main__":
    devices_agree()
