"""U-Nets of other packages with random weights, against plain ones in numpy with channels first."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import genkit
from genkit import load_model
from genkit.cli.main import main
from genkit.cli.sample import Sample
from genkit.errors import UsageError
from genkit_inverse.networks.imported.layers import filtered
from genkit_inverse.operators import SuperResolution

RNG = np.random.default_rng(0)


def silu(x):
    return x / (1 + np.exp(-x))


class Weights(dict):
    """Random arrays by name."""

    def conv(self, name, a, b, k=3):
        self[f"{name}.weight"] = RNG.normal(size=(b, a, k, k)) / (a * k * k) ** 0.5
        self[f"{name}.bias"] = 0.1 * RNG.normal(size=b)

    def linear(self, name, a, b):
        self[f"{name}.weight"], self[f"{name}.bias"] = RNG.normal(size=(b, a)) / a**0.5, 0.1 * RNG.normal(size=b)

    def norm(self, name, a):
        self[f"{name}.weight"], self[f"{name}.bias"] = 1 + 0.2 * RNG.normal(size=a), 0.1 * RNG.normal(size=a)

    def save(self, path):
        save_file({name: a.astype(np.float32) for name, a in self.items()}, path)
        return path


def conv(w, name, x, stride=1, pad=None):
    k = w[f"{name}.weight"]
    k = k.reshape(*k.shape, *[1] * (4 - k.ndim))
    side = k.shape[-1]
    before, after = pad or (side // 2, side // 2)
    x = np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncijab,ocab->noij", windows, k) + w[f"{name}.bias"][:, None, None]


def lin(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w, name, x, groups, eps):
    n, c, h, v = x.shape
    g = x.reshape(n, groups, -1)
    g = (g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + eps)
    return g.reshape(x.shape) * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def up(x):
    return x.repeat(2, 2).repeat(2, 3)


def down(x):
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def softmax(a):
    a = np.exp(a - a.max(-1, keepdims=True))
    return a / a.sum(-1, keepdims=True)


def imported(name, path, tmp_path, *words):
    out = tmp_path / "model"
    assert main(["import", name, str(path), "--out", str(out), *words]) == 0
    assert genkit.config("inverse.ddsmc_images", "tiny", prior=out).prior.restore == out  # the prior of a study
    return load_model(out)


def raw(model, x, t):
    """What the network says, channels first."""
    net = model.denoiser.network
    return np.moveaxis(
        np.asarray(net(model.denoiser.params, jnp.asarray(np.moveaxis(x, 1, -1)), jnp.asarray(t))), -1, 1
    )


# EDM: two levels of one block at 8 x 8, 16 channels; attention at 4 x 4, in the middle


def edm_weights(adm):
    w, e = Weights(), 64
    c = 64 if adm else 16  # heads of 64 channels
    w.linear("map_layer0", c, e)
    w.linear("map_layer1", e, e)

    def block(name, a, b, attend=False, skip=False):
        w.norm(f"{name}.norm0", a), w.conv(f"{name}.conv0", a, b), w.linear(f"{name}.affine", e, b * (1 + adm))
        w.norm(f"{name}.norm1", b), w.conv(f"{name}.conv1", b, b)
        if a != b or skip:
            w.conv(f"{name}.skip", a, b, 1)
        if attend:
            w.norm(f"{name}.norm2", b), w.conv(f"{name}.qkv", b, 3 * b, 1), w.conv(f"{name}.proj", b, b, 1)

    w.conv("enc.8x8_conv", 3, c)
    block("enc.8x8_block0", c, c)
    block("enc.4x4_down", c, c, skip=not adm)
    block("enc.4x4_block0", c, 2 * c, True)
    block("dec.4x4_in0", 2 * c, 2 * c, True)
    block("dec.4x4_in1", 2 * c, 2 * c)
    block("dec.4x4_block0", 4 * c, 2 * c)
    block("dec.4x4_block1", 3 * c, 2 * c, True)
    block("dec.8x8_up", 2 * c, 2 * c, skip=not adm)
    block("dec.8x8_block0", 3 * c, c)
    block("dec.8x8_block1", 2 * c, c)
    ends = ("out_norm", "out_conv") if adm else ("dec.8x8_aux_norm", "dec.8x8_aux_conv")
    w.norm(ends[0], c), w.conv(ends[1], c, 3)
    return w


def edm_plain(w, x, noise, adm):
    eps, scale = (1e-5, 1.0) if adm else (1e-6, 0.5**0.5)
    half = len(w["map_layer0.weight"][0]) // 2
    angle = noise[:, None] * 1e-4 ** (np.arange(half) / (half if adm else half - 1))
    emb = np.concatenate([np.cos(angle), np.sin(angle)] if adm else [np.sin(angle), np.cos(angle)], 1)
    emb = silu(lin(w, "map_layer1", silu(lin(w, "map_layer0", emb))))

    def block(name, x, size=lambda a: a):
        groups = lambda a: min(32, a.shape[1] // 4)  # noqa: E731
        h = conv(w, f"{name}.conv0", size(silu(norm(w, f"{name}.norm0", x, groups(x), eps))))
        told = lin(w, f"{name}.affine", emb)[:, :, None, None]
        if adm:
            b = told.shape[1] // 2
            h = norm(w, f"{name}.norm1", h, groups(h), eps) * (1 + told[:, :b]) + told[:, b:]
        else:
            h = norm(w, f"{name}.norm1", h + told, groups(h), eps)
        h = conv(w, f"{name}.conv1", silu(h))
        x = size(x)
        x = (h + (conv(w, f"{name}.skip", x) if f"{name}.skip.weight" in w else x)) * scale
        if f"{name}.qkv.weight" not in w:
            return x
        n, c, a, b = x.shape
        heads = c // 64 if adm else 1
        qkv = conv(w, f"{name}.qkv", norm(w, f"{name}.norm2", x, groups(x), eps)).reshape(
            n * heads, c // heads, 3, a * b
        )
        q, k, v = (qkv[:, :, i] for i in range(3))
        weights = softmax(np.einsum("ncq,nck->nqk", q, k) / (c // heads) ** 0.5)
        return (conv(w, f"{name}.proj", np.einsum("nqk,nck->ncq", weights, v).reshape(x.shape)) + x) * scale

    skips = [conv(w, "enc.8x8_conv", x)]
    skips.append(block("enc.8x8_block0", skips[-1]))
    skips.append(block("enc.4x4_down", skips[-1], down))
    skips.append(block("enc.4x4_block0", skips[-1]))
    x = block("dec.4x4_in1", block("dec.4x4_in0", skips[-1]))
    for name in ("4x4_block0", "4x4_block1"):
        x = block(f"dec.{name}", np.concatenate([x, skips.pop()], 1))
    x = block("dec.8x8_up", x, up)
    for name in ("8x8_block0", "8x8_block1"):
        x = block(f"dec.{name}", np.concatenate([x, skips.pop()], 1))
    ends = ("out_norm", "out_conv") if adm else ("dec.8x8_aux_norm", "dec.8x8_aux_conv")
    return conv(w, ends[1], silu(norm(w, ends[0], x, min(32, x.shape[1] // 4), eps)))


@pytest.mark.parametrize("adm", [False, True])
def test_edm(tmp_path, adm):
    w = edm_weights(adm)
    path = Weights({f"model.{name}": a for name, a in w.items()}).save(tmp_path / "net.safetensors")
    model = imported("edm", path, tmp_path)
    x, noise = RNG.normal(size=(2, 3, 8, 8)), np.array([-0.7, 0.4])
    expected = edm_plain(w, x, noise, adm)
    np.testing.assert_allclose(raw(model, x, noise), expected, atol=2e-4 * np.abs(expected).max())
    assert model.resized((12, 16)).shape == (12, 16, 3)
    with pytest.raises(UsageError, match="8 x 8 in colour does not take 9 x 8 in colour"):
        model.resized((9, 8))
    words = [str(tmp_path / "model"), "--n", "1", "--seed", "3", "--operator", "super_resolution"]
    parsed = Sample.parse([*words, "--operator.factor", "2", "--observation", "small.png"])  # without inverse.
    assert parsed.request.operator == SuperResolution(factor=2)
    s = 0.8  # the preconditioning
    of = jax.jit(lambda denoiser, x: denoiser(x, jnp.asarray([s])))
    d = of(model.denoiser, jnp.asarray(np.moveaxis(x[:1], 1, -1)))
    f = edm_plain(w, x[:1] / (s**2 + 0.25) ** 0.5, np.log([s]) / 4, adm)
    whole = 0.25 / (s**2 + 0.25) * x[:1] + s * 0.5 / (s**2 + 0.25) ** 0.5 * f
    np.testing.assert_allclose(np.moveaxis(np.asarray(d), -1, 1), whole, atol=2e-4 * np.abs(whole).max())


# guided-diffusion: two levels of one block, blocks that halve and double, attention at the second


def test_adm(tmp_path, capsys):
    w, c, e = Weights(), 32, 48
    w.linear("time_embed.0", c, e)
    w.linear("time_embed.2", e, e)

    def res(name, a, b):
        (
            w.norm(f"{name}.in_layers.0", a),
            w.conv(f"{name}.in_layers.2", a, b),
            w.linear(f"{name}.emb_layers.1", e, 2 * b),
        )
        w.norm(f"{name}.out_layers.0", b), w.conv(f"{name}.out_layers.3", b, b)
        if a != b:
            w.conv(f"{name}.skip_connection", a, b, 1)

    def attend(name, a):
        w.norm(f"{name}.norm", a)
        for part, b in (("qkv", 3 * a), ("proj_out", a)):
            w.conv(f"{name}.{part}", a, b, 1)
            w[f"{name}.{part}.weight"] = w[f"{name}.{part}.weight"][..., 0]

    w.conv("input_blocks.0.0", 3, c)
    res("input_blocks.1.0", c, c), res("input_blocks.2.0", c, c), res("input_blocks.3.0", c, 2 * c)
    attend("input_blocks.3.1", 2 * c)
    res("middle_block.0", 2 * c, 2 * c), attend("middle_block.1", 2 * c), res("middle_block.2", 2 * c, 2 * c)
    res("output_blocks.0.0", 4 * c, 2 * c), attend("output_blocks.0.1", 2 * c)
    res("output_blocks.1.0", 3 * c, 2 * c), attend("output_blocks.1.1", 2 * c), res("output_blocks.1.2", 2 * c, 2 * c)
    res("output_blocks.2.0", 3 * c, c), res("output_blocks.3.0", 2 * c, c)
    w.norm("out.0", c), w.conv("out.2", c, 6)

    def block(name, x, emb, size=lambda a: a):
        h = conv(w, f"{name}.in_layers.2", size(silu(norm(w, f"{name}.in_layers.0", x, 32, 1e-5))))
        told = lin(w, f"{name}.emb_layers.1", silu(emb))[:, :, None, None]
        b, x = h.shape[1], size(x)
        h = norm(w, f"{name}.out_layers.0", h, 32, 1e-5) * (1 + told[:, :b]) + told[:, b:]
        rest = conv(w, f"{name}.skip_connection", x) if f"{name}.skip_connection.weight" in w else x
        return rest + conv(w, f"{name}.out_layers.3", silu(h))

    def looked(name, x, heads):
        n, c, a, b = x.shape
        qkv = conv(w, f"{name}.qkv", norm(w, f"{name}.norm", x, 32, 1e-5)).reshape(n * heads, 3 * c // heads, a * b)
        q, k, v = np.split(qkv, 3, 1)
        weights = softmax(np.einsum("bct,bcs->bts", q, k) / (c // heads) ** 0.5)
        return x + conv(w, f"{name}.proj_out", np.einsum("bts,bcs->bct", weights, v).reshape(x.shape))

    def plain(x, t):
        angle = t[:, None] * np.exp(-np.log(1e4) * np.arange(c // 2) / (c // 2))
        emb = lin(w, "time_embed.2", silu(lin(w, "time_embed.0", np.concatenate([np.cos(angle), np.sin(angle)], 1))))
        hs = [conv(w, "input_blocks.0.0", x)]
        hs.append(block("input_blocks.1.0", hs[-1], emb))
        hs.append(block("input_blocks.2.0", hs[-1], emb, down))
        hs.append(looked("input_blocks.3.1", block("input_blocks.3.0", hs[-1], emb), 2))
        h = block("middle_block.0", hs[-1], emb)
        h = block("middle_block.2", looked("middle_block.1", h, 2), emb)
        h = looked("output_blocks.0.1", block("output_blocks.0.0", np.concatenate([h, hs.pop()], 1), emb), 2)
        h = looked("output_blocks.1.1", block("output_blocks.1.0", np.concatenate([h, hs.pop()], 1), emb), 2)
        h = block("output_blocks.1.2", h, emb, up)
        for i in (2, 3):
            h = block(f"output_blocks.{i}.0", np.concatenate([h, hs.pop()], 1), emb)
        return conv(w, "out.2", silu(norm(w, "out.0", h, 32, 1e-5)))[:, :3]

    path = w.save(tmp_path / "adm.safetensors")
    small = ["--image_size", "8", "--levels", "2", "--head_channels", "128"]
    _refused({("adm", "adm.safetensors"): "does not fit"}, tmp_path, capsys, *small)  # a head has more than all
    model = imported("adm", path, tmp_path, "--image_size", "8", "--levels", "2", "--head_channels", "32")
    x, t = RNG.normal(size=(2, 3, 8, 8)), np.array([10.0, 700.0])
    expected = plain(x, t)
    np.testing.assert_allclose(raw(model, x, t), expected, atol=5e-4 * np.abs(expected).max())


# diffusers: DownBlock2D, AttnDownBlock2D and back, one layer a block


def test_diffusers(tmp_path, capsys):
    w, c, e = Weights(), 32, 128
    w.linear("time_embedding.linear_1", c, e), w.linear("time_embedding.linear_2", e, e)

    def res(name, a, b):
        w.norm(f"{name}.norm1", a), w.conv(f"{name}.conv1", a, b), w.linear(f"{name}.time_emb_proj", e, b)
        w.norm(f"{name}.norm2", b), w.conv(f"{name}.conv2", b, b)
        if a != b:
            w.conv(f"{name}.conv_shortcut", a, b, 1)

    def attend(name, a):
        w.norm(f"{name}.group_norm", a)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            w.linear(f"{name}.{part}", a, a)

    w.conv("conv_in", 1, c)
    res("down_blocks.0.resnets.0", c, c), w.conv("down_blocks.0.downsamplers.0.conv", c, c)
    res("down_blocks.1.resnets.0", c, 2 * c), attend("down_blocks.1.attentions.0", 2 * c)
    res("mid_block.resnets.0", 2 * c, 2 * c), attend("mid_block.attentions.0", 2 * c)
    res("mid_block.resnets.1", 2 * c, 2 * c)
    res("up_blocks.0.resnets.0", 4 * c, 2 * c), attend("up_blocks.0.attentions.0", 2 * c)
    res("up_blocks.0.resnets.1", 3 * c, 2 * c), attend("up_blocks.0.attentions.1", 2 * c)
    w.conv("up_blocks.0.upsamplers.0.conv", 2 * c, 2 * c)
    res("up_blocks.1.resnets.0", 3 * c, c), res("up_blocks.1.resnets.1", 2 * c, c)
    w.norm("conv_norm_out", c), w.conv("conv_out", c, 1)

    def block(name, x, emb):
        h = conv(w, f"{name}.conv1", silu(norm(w, f"{name}.norm1", x, 32, 1e-5)))
        h = norm(w, f"{name}.norm2", h + lin(w, f"{name}.time_emb_proj", silu(emb))[:, :, None, None], 32, 1e-5)
        return conv(w, f"{name}.conv2", silu(h)) + (
            conv(w, f"{name}.conv_shortcut", x) if f"{name}.conv_shortcut.weight" in w else x
        )

    def looked(name, x):
        n, c, a, b = x.shape
        h = norm(w, f"{name}.group_norm", x, 32, 1e-5).reshape(n, c, -1).swapaxes(1, 2)
        heads = (
            lin(w, f"{name}.{part}", h).reshape(n, a * b, -1, 8).swapaxes(1, 2) for part in ("to_q", "to_k", "to_v")
        )
        q, k, v = heads
        mixed = softmax(q @ k.swapaxes(2, 3) / 8**0.5) @ v
        out = lin(w, f"{name}.to_out.0", mixed.swapaxes(1, 2).reshape(n, a * b, c))
        return x + out.swapaxes(1, 2).reshape(x.shape)

    def plain(x, t):
        angle = t[:, None] * np.exp(-np.log(1e4) * np.arange(c // 2) / (c // 2 - 1))
        emb = np.concatenate([np.sin(angle), np.cos(angle)], 1)
        emb = lin(w, "time_embedding.linear_2", silu(lin(w, "time_embedding.linear_1", emb)))
        hs = [conv(w, "conv_in", x)]
        hs.append(block("down_blocks.0.resnets.0", hs[-1], emb))
        hs.append(conv(w, "down_blocks.0.downsamplers.0.conv", hs[-1], 2, (0, 1)))
        hs.append(looked("down_blocks.1.attentions.0", block("down_blocks.1.resnets.0", hs[-1], emb)))
        h = looked("mid_block.attentions.0", block("mid_block.resnets.0", hs[-1], emb))
        h = block("mid_block.resnets.1", h, emb)
        for i in (0, 1):
            h = block(f"up_blocks.0.resnets.{i}", np.concatenate([h, hs.pop()], 1), emb)
            h = looked(f"up_blocks.0.attentions.{i}", h)
        h = conv(w, "up_blocks.0.upsamplers.0.conv", up(h))
        for i in (0, 1):
            h = block(f"up_blocks.1.resnets.{i}", np.concatenate([h, hs.pop()], 1), emb)
        return conv(w, "conv_out", silu(norm(w, "conv_norm_out", h, 32, 1e-5)))

    folder = tmp_path / "pipeline"
    for name in ("unet", "scheduler"):
        (folder / name).mkdir(parents=True)
    config = {"sample_size": 8, "in_channels": 1, "flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0}
    config |= {"down_block_types": ["DownBlock2D", "AttnDownBlock2D"]}
    config |= {"up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    scheduler = {"beta_schedule": "linear", "num_train_timesteps": 50, "prediction_type": "epsilon"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    w.save(folder / "unet" / "diffusion_pytorch_model.safetensors")
    model = imported("diffusers", folder, tmp_path)
    x, t = RNG.normal(size=(2, 1, 8, 8)), np.array([3.0, 41.0])
    expected = plain(x, t)
    np.testing.assert_allclose(raw(model, x, t), expected, atol=5e-4 * np.abs(expected).max())
    assert model.denoiser.process.steps == 50 and model.denoiser.predicts == "eps"

    del config["sample_size"]  # what is not said is taken as usual, and told
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    (folder / "scheduler" / "scheduler_config.json").unlink()
    capsys.readouterr()
    assert main(["import", "diffusers", str(folder), "--out", str(tmp_path / "usual")]) == 0
    said = capsys.readouterr().out
    assert "has no sample_size; taken for 32 x 32" in said and "has no scheduler_config.json; taken for 1000" in said
    model = load_model(tmp_path / "usual")
    assert model.shape == (32, 32, 1) and model.denoiser.process.steps == 1000
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"num_class_embeds": 10}))
    _refused({("diffusers", "pipeline"): "has num_class_embeds: its images are of a class"}, tmp_path, capsys)


def test_filters_that_halve_and_double():
    """1 3 3 1 on a ramp along a row: means of the cells that it covers; doubling is the transpose, times four."""
    x = RNG.normal(size=(1, 8, 8, 2))
    f = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    small = [[(f[..., None] * padded[0, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]).sum((0, 1)) for j in range(4)]
             for i in range(4)]  # fmt: skip
    np.testing.assert_allclose(filtered(jnp.asarray(x), (1, 3, 3, 1), False)[0], small, atol=1e-5)
    y = RNG.normal(size=(1, 4, 4, 2))
    twice = (np.asarray(filtered(jnp.asarray(y), (1, 3, 3, 1), True)) * x).sum()
    assert twice == pytest.approx(4 * (np.asarray(small) * y[0]).sum(), rel=1e-4)


def test_what_is_no_such_model(tmp_path, capsys):
    """One line each."""
    save_file({"a.weight": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    (tmp_path / "net.pkl").write_bytes(b"code")
    (tmp_path / "empty").mkdir()
    cases = {("edm", "other.safetensors"): "has no enc", ("adm", "other.safetensors"): "has no time_embed",
             ("edm", "net.pkl"): "holds code", ("diffusers", "empty"): "has no config.json"}  # fmt: skip
    _refused(cases, tmp_path, capsys)


def _refused(cases, tmp_path, capsys, *words):
    for (name, file), says in cases.items():
        assert main(["import", name, str(tmp_path / file), "--out", str(tmp_path / "out"), *words]) == 1
        error = capsys.readouterr().err.strip()
        assert says in error and "\n" not in error


def _edited(path, w, drop=(), **more):
    kept = {name: a for name, a in w.items() if name not in drop} | more
    Weights(kept).save(path)


def test_damaged_weights(tmp_path, capsys):
    """One line each, whatever the names and shapes make go wrong."""
    w, x = edm_weights(False), np.zeros((4, 4))
    _edited(tmp_path / "word.safetensors", w, **{"enc.foo.weight": x})
    _edited(tmp_path / "array.safetensors", {n: a for n, a in w.items() if not n.startswith("enc.")}, enc=x)
    _edited(tmp_path / "both.safetensors", w, **{"enc.8x8_conv": x})
    _edited(tmp_path / "part.safetensors", w, drop=["enc.8x8_conv.weight"])
    _edited(tmp_path / "classes.safetensors", w, **{"map_label.weight": x})
    adm = {f"{part}.0.0.weight": x for part in ("time_embed", "middle_block", "output_blocks")}
    _edited(tmp_path / "first.safetensors", adm, **{"input_blocks.0.1.weight": x})
    _edited(tmp_path / "label.safetensors", adm, **{"label_emb.weight": x})
    fits = "does not fit the architecture"
    cases = {("edm", "word"): fits, ("edm", "array"): fits, ("edm", "part"): fits, ("adm", "first"): fits,
             ("edm", "both"): "enc.8x8_conv is an array, and enc.8x8_conv.bias a part of it",
             ("edm", "classes"): "has map_label: its images are of a class",
             ("adm", "label"): "has label_emb: its images are of a class"}  # fmt: skip
    levels = {"adm": ["--levels", "1"]}
    for (name, file), says in cases.items():
        _refused({(name, f"{file}.safetensors"): says}, tmp_path, capsys, *levels.get(name, ()))
