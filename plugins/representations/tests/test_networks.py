"""Encoders and heads: transformers with weights of others against plain loops, masks."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from genkit.errors import DataError, UsageError
from genkit.nn import Net
from genkit.testing import check_network
from genkit_representations.networks import import_vit
from genkit_representations.networks.encoders import CNN, MLPEncoder
from genkit_representations.networks.feature_mlp import FeatureMLP
from genkit_representations.networks.head import Head, Prototyper
from genkit_representations.networks.vit import ViT

RNG = np.random.default_rng(0)


# networks


@pytest.mark.parametrize(
    "network",
    [ViT(2, 16, 2, 2, registers=1, scale=0.5), CNN((4, 8)), MLPEncoder((16, 8)), FeatureMLP(16, 2, 16)],
    ids=lambda network: type(network).__name__,
)
def test_arithmetic(network):
    rng = np.random.default_rng(0)
    images, features = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((3, 4, 4, 3), (3, 5)))
    if isinstance(network, FeatureMLP):
        check_network(network, (5,), features, jnp.linspace(0.1, 0.9, 3), jnp.arange(3))
    else:
        check_network(network, ((4, 4, 3),), images)


def test_blocks_that_are_computed_again_need_less_memory():
    def kept(network):
        net, images = Net(network, ((8, 8, 3),)), jax.ShapeDtypeStruct((8, 8, 8, 3), jnp.float32)
        gradient = jax.jit(jax.grad(lambda params, x: jnp.square(net(params, x)[0]).mean()))
        return gradient.lower(net.shapes(), images).compile().memory_analysis().temp_size_in_bytes

    network = ViT(2, 16, 6, 2)
    assert kept(dataclasses.replace(network, remat=True)) < kept(network) / 3


def weights(width=8, depth=2, patch=2, side=4, registers=0, scale=False):
    """Random weights under timm's names."""
    draw = lambda *shape: (0.3 * RNG.standard_normal(shape)).astype(np.float32)  # noqa: E731
    found = {"cls_token": draw(1, 1, width), "pos_embed": draw(1, 1 + (side // patch) ** 2, width),
             "patch_embed.proj.weight": draw(width, 3, patch, patch), "patch_embed.proj.bias": draw(width),
             "norm.weight": draw(width), "norm.bias": draw(width)}  # fmt: skip
    for i in range(depth):
        shapes = {"norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width),
                  "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}  # fmt: skip
        for name, shape in shapes.items():
            found[f"blocks.{i}.{name}.weight"], found[f"blocks.{i}.{name}.bias"] = draw(*shape), draw(shape[0])
        if scale:
            found |= {f"blocks.{i}.ls{j}.gamma": draw(width) for j in (1, 2)}
    return found | ({"reg_token": draw(1, registers, width)} if registers else {})


def reference(w, image, heads, depth=2, patch=2):
    """A vision transformer in numpy, from its weights."""

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    h, v, _ = image.shape
    tokens = [np.einsum("ochw,hwc->o", w["patch_embed.proj.weight"], image[i : i + patch, j : j + patch])
              for i in range(0, h, patch) for j in range(0, v, patch)]  # fmt: skip
    x = np.concatenate([w["cls_token"][0], np.stack(tokens) + w["patch_embed.proj.bias"]]) + w["pos_embed"][0]
    if "reg_token" in w:
        x = np.concatenate([x[:1], w["reg_token"][0], x[1:]])
    for i in range(depth):
        at = f"blocks.{i}."
        q, k, v_ = linear(norm(x, f"{at}norm1"), f"{at}attn.qkv").reshape(len(x), 3, heads, -1).transpose(1, 2, 0, 3)
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        p = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (p / p.sum(-1, keepdims=True) @ v_).transpose(1, 0, 2).reshape(len(x), -1)
        x = x + w.get(f"{at}ls1.gamma", 1) * linear(mixed, f"{at}attn.proj")
        u = linear(norm(x, f"{at}norm2"), f"{at}mlp.fc1")
        x = x + w.get(f"{at}ls2.gamma", 1) * linear(u * (1 + erf(u / math.sqrt(2))) / 2, f"{at}mlp.fc2")
    return norm(x, "norm")


@pytest.mark.parametrize("options", [{}, {"registers": 2, "scale": True}])
def test_imported_transformers(options):
    """timm's weights give what numpy makes of them, with DINOv2's registers and layer scale."""
    w = weights(**options)
    image = RNG.standard_normal((4, 4, 3)).astype(np.float32)
    net, params = import_vit(w, heads=2)
    features, patches = jax.jit(lambda p, x: net(p, x))(params, image[None])
    known = reference(w, image, 2)
    np.testing.assert_allclose(features[0], known[0], atol=2e-5)
    np.testing.assert_allclose(patches[0], known[1 + options.get("registers", 0) :], atol=2e-5)
    assert jax.tree.structure(net.shapes()) == jax.tree.structure(params)
    with pytest.raises(DataError, match="heads"):
        import_vit(w)
    with pytest.raises(DataError, match="no place for norm_pre.weight"):
        import_vit(w | {"norm_pre.weight": w["norm.weight"]}, heads=2)
    bare = w | {"cls_token": w["cls_token"] + w["pos_embed"][:, :1], "pos_embed": w["pos_embed"][:, 1:]}
    again = import_vit(bare, heads=2)[1]  # timm's with registers have no position of the class token
    np.testing.assert_allclose(again["token"] + again["position"][:1], params["token"] + params["position"][:1])
    np.testing.assert_array_equal(again["position"][1:], params["position"][1:])
    del w["norm.bias"]
    with pytest.raises(DataError, match="lack 'norm.bias'"):
        import_vit(w, heads=2)


def test_transformers_names_are_those_of_timm():
    w = weights()
    other = {}
    names = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
             "patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm",
             "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
             "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}  # fmt: skip
    for name, a in w.items():
        bare, _, kind = name.rpartition(".") if name.endswith(("weight", "bias")) else (name, "", "")
        block, _, rest = bare.partition(".")[2].partition(".") if bare.startswith("blocks.") else ("", "", bare)
        at = f"vit.encoder.layer.{block}." if block else "vit."
        if rest == "attn.qkv":
            for part, one in zip(("query", "key", "value"), np.split(a, 3), strict=True):
                other[f"{at}attention.attention.{part}.{kind}"] = one
        else:
            other[at + names[rest] + (f".{kind}" if kind else "")] = a
    one, two = import_vit(w, 2)[1], import_vit(other, 2)[1]
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_masks_and_left_out_patches():
    """A masked patch is not seen; the order of the patches that are kept does not matter; other sizes are encoded."""
    net = Net(ViT(2, 8, 2, 2, drop_path=0.5), ((4, 4, 1),))
    params = net.init(jax.random.key(0))
    x = jnp.asarray(RNG.standard_normal((1, 4, 4, 1)), jnp.float32)
    other = x.at[:, :2, :2].set(9.0)
    mask = jnp.array([[True, False, False, False]])
    call = jax.jit(lambda x, mask, keep: net(params, x, mask, keep)[0])
    np.testing.assert_allclose(call(x, mask, None), call(other, mask, None), atol=1e-6)
    one, two = call(x, None, jnp.array([[1, 2]])), call(other, None, jnp.array([[2, 1]]))
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert jnp.abs(one - call(x, None, None)).max() > 1e-4
    assert net(params, jnp.zeros((2, 2, 6, 1)))[1].shape == (2, 3, 8)
    with pytest.raises(UsageError, match="multiples"):
        net(params, jnp.zeros((2, 3, 6, 1)))
    dropped = net(params, jnp.concatenate([x] * 64), key=jax.random.key(0))[0]
    assert len(np.unique(np.asarray(dropped).round(4), axis=0)) > 1
    with pytest.raises(UsageError, match="multiples"):
        ViT(3).build(None, (4, 4, 1))  # type: ignore[arg-type]
    cnn = Net(CNN((4, 8)), ((5, 5, 1),))
    assert cnn(cnn.init(jax.random.key(0)), jnp.ones((2, 5, 5, 1)))[0].shape == (2, 8)


def test_the_head():
    """Unit prototypes unless their lengths are trained; products with a normalised output; patches have their own."""
    net = Net(Prototyper(ViT(2, 8, 1, 2), Head(6, 16, 2, 4), True, True, False), ((4, 4, 1),))
    params = net.init(jax.random.key(0))
    params["head"]["gain"] = 2 * params["head"]["gain"]
    module = net.module(params)
    np.testing.assert_allclose(jnp.linalg.norm(module.head.prototypes(), axis=1), 2, rtol=1e-5)
    out = module(jnp.ones((2, 3, 4, 4, 1)))
    assert out.logits.shape == (2, 3, 6) and out.patches.shape == (2, 3, 4, 6)
    assert jnp.abs(out.logits).max() <= 2 and "patch_head" in params
    bound = jnp.abs(params["head"]["last"]).max()
    assert 0.4 < bound <= 0.5  # uniform up to 1 / sqrt(4)


def test_encoding_own_images(tmp_path, capsys):
    """Weights of others and images of a file or a folder become a file of features that a study reads."""
    from PIL import Image
    from safetensors.numpy import save_file

    from genkit_representations.commands import Encode
    from genkit_representations.datasets.heldout import Features

    w = weights()
    save_file(w, tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    images = {
        name: rng.integers(0, 256, (n, 4, 4, 3), np.uint8) for name, n in {"train": 3, "test": 2, "ood/a": 2}.items()
    }
    np.savez(tmp_path / "x.npz", labels=np.array(["cat", "dog", "cat"]), **images)
    for name, batch in images.items():
        for i, image in enumerate(batch):
            at = tmp_path / "x" / name / (("cat", "dog", "cat")[i] if name == "train" else "")
            at.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(at / f"{i}.png")
    encode = Encode(
        tmp_path / "w.safetensors", tmp_path / "x.npz", tmp_path / "f.npz", mean=(0.5, 0.4, 0.3), heads=2, batch=2
    )
    encode.run()
    split = Features(tmp_path / "f.npz").load().splits[0]
    scaled = (images["train"] / 255 - np.array(encode.mean)) / np.array(encode.std)
    known = [reference(w, image.astype(np.float32), 2)[0] for image in scaled]
    np.testing.assert_allclose(split.train, known, atol=5e-5)
    assert split.labels.tolist() == [0, 1, 0] and split.ood["a"].shape == (2, 8)
    dataclasses.replace(encode, images=tmp_path / "x", out=tmp_path / "g.npz").run()
    again = Features(tmp_path / "g.npz").load().splits[0]  # files lie by class: both cats, then the dog
    np.testing.assert_allclose(again.train, split.train[[0, 2, 1]], atol=1e-5)
    assert again.labels.tolist() == [0, 0, 1]
    assert "train: 3 images, 8 features" in capsys.readouterr().out


def test_own_images(tmp_path):
    """PNG files in folders by class, whose numbers are those of train also where test lacks one."""
    from PIL import Image

    from genkit_representations.datasets import Images

    shades = {
        "train/cat/0": 10,
        "train/dog/0": 20,
        "train/emu/0": 30,
        "train/emu/1": 40,
        "test/emu/0": 50,
        "test/cat/0": 60,
    }
    for name, shade in shades.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 4, 3), (shade, 0, 0), np.uint8)).save(tmp_path / f"{name}.png")
    data = Images(tmp_path, size=4).load()
    assert data.shape == (4, 4, 3) and data.labels.tolist() == [0, 1, 2, 2] and data.test_labels.tolist() == [0, 2]
    np.testing.assert_allclose(255 * data.train[:, 0, 0, 0], [10, 20, 30, 40], rtol=1e-6)
    np.testing.assert_allclose(255 * data.test[:, 3, 3, 0], [60, 50], rtol=1e-6)
    assert not data.train[..., 1:].any() and Images(tmp_path, size=4, colours=False).load().shape == (4, 4, 1)
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "fox")
    with pytest.raises(DataError, match="test has the classes \\['fox'\\]; expected"):
        Images(tmp_path, size=4).load()


def test_wrong_images(tmp_path):
    """Each is one line that names the file or the set."""
    from genkit_representations.commands import Encode
    from genkit_representations.images import image_sets

    def sets(**arrays):
        np.savez(tmp_path / "x.npz", **arrays)
        return image_sets(tmp_path / "x.npz", (4, 4, 3))

    with pytest.raises(DataError, match="train has shape"):
        sets(train=np.zeros((3, 5)))
    with pytest.raises(DataError, match="train has 3 images and labels of shape \\(2,\\)"):
        sets(train=np.zeros((3, 4, 4), np.uint8), labels=np.zeros(2, int))
    with pytest.raises(DataError, match="has no images; expected train"):
        sets(pictures=np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(DataError, match="test: images of type float64 are outside"):
        sets(test=np.full((1, 4, 4), 2.0))["test"][slice(None)]
    with pytest.raises(DataError, match="neither an .npz file nor a folder"):
        image_sets(tmp_path / "none", (4, 4, 3))
    (tmp_path / "y" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="known endings"):
        image_sets(tmp_path / "y", (4, 4, 3))
    (tmp_path / "y" / "train" / "a.png").write_text("no image")
    with pytest.raises(DataError, match="a.png is no image"):
        image_sets(tmp_path / "y", (4, 4, 3))["train"][slice(None)]
    with pytest.raises(UsageError, match="batch=0"):
        Encode(tmp_path, tmp_path, batch=0).run()
    large = np.arange(2 * 8 * 6).reshape(2, 8, 6).astype(np.uint8)  # the short side to 4, the middle of the long one
    cut = sets(train=large)["train"][slice(None)]
    assert cut.shape == (2, 4, 4, 3) and (cut[..., 0] == cut[..., 2]).all()
    assert cut[0].mean() == pytest.approx(large[0].mean() / 255, abs=0.02)
