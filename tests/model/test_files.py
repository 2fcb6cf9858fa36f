"""The folder of a trained model: what it holds comes back, what is damaged or foreign is refused in one line."""

import dataclasses
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import yaml

import genkit
from genkit import model
from genkit.diffusion import EDM, EDMDenoiser, Heun
from genkit.errors import GenkitError, UsageError
from genkit.model import Diffusion
from genkit.model.tree import decode, encode
from genkit.nn import Net, NoisyMLP, shapes_of


@pytest.fixture
def trained():
    """An untrained network with its sampler."""
    net = Net(NoisyMLP(width=8, depth=2), (3,))
    return Diffusion(EDMDenoiser(net, net.init(jax.random.key(0)), 0.5, EDM()), (3,), Heun(steps=4))


@pytest.fixture
def folder(trained, tmp_path):
    """It, saved."""
    return trained.save(tmp_path / "model")


def test_a_model_comes_back_and_draws_the_same(trained, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    again = genkit.load_model(tmp_path / "elsewhere")
    assert jax.tree.structure(again) == jax.tree.structure(trained)  # so it compiles nothing again
    for one, two in zip(jax.tree.leaves(again), jax.tree.leaves(trained), strict=True):
        assert jnp.asarray(one).dtype == jnp.asarray(two).dtype
        np.testing.assert_array_equal(one, two)
    assert (again.denoiser.network, again.sampler, again.shape) == (trained.denoiser.network, Heun(steps=4), (3,))
    assert again.denoiser.sigma_data == 0.5 and type(again.denoiser.sigma_data) is float  # a number of weak type
    key = jax.random.key(1)
    np.testing.assert_array_equal(again.sample(key, 5), trained.sample(key, 5))
    np.testing.assert_allclose(again.sample(key, 5, sampler=Heun(steps=7)).shape, (5, 3))
    assert "5 numbers" not in repr(again) and f"{again.parameters:,} numbers" in repr(again)
    assert again.origin.fingerprint in repr(again) and repr(trained).startswith("Diffusion(not saved")


def test_what_is_drawn_does_not_depend_on_chunks(trained):
    key, request = jax.random.key(2), model.request_of(trained)()
    whole, parts = (np.concatenate([p["samples"] for p in request(trained, key, 5, chunk)]) for chunk in (5, 2))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


def test_every_flipped_byte_is_told(trained, folder, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("weights.safetensors", "model.yaml"):
        file, content = folder / name, (folder / name).read_bytes()
        for place in rng.integers(0, len(content) - 1, 20):
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(0, 7))
            file.write_bytes(bytes(changed))
            with pytest.raises(GenkitError, match=f"{name} is damaged|cannot read .*{name}"):
                model.load(folder)
        file.write_bytes(content)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(GenkitError, match="cannot read .*weights.safetensors.*copy the whole folder"):
        model.load(folder)


def test_saving_again_replaces_the_whole_and_a_refused_one_leaves_the_old(trained, folder):
    first = model.load(folder).origin.fingerprint
    changed = jax.tree.map(lambda x: x + 1, trained)
    assert model.save(changed, folder).origin.fingerprint != first
    second = model.load(folder).origin.fingerprint
    with pytest.raises(GenkitError, match="cannot hold sampler, a function"):
        model.save(dataclasses.replace(trained, sampler=lambda x: x), folder)
    assert model.load(folder).origin.fingerprint == second
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


def test_a_folder_with_no_model_is_told_with_the_remedy(tmp_path):
    with pytest.raises(UsageError, match="nowhere is no folder"):
        model.load("nowhere")
    with pytest.raises(UsageError, match="neither config.yaml nor model.yaml"):
        model.load(tmp_path)
    (tmp_path / "config.yaml").write_text("experiment: core.mixture\n")  # as genkit 0.1.0 wrote it
    with pytest.raises(UsageError, match="made by genkit 0.1.0.*trains it again") as caught:
        model.load(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "config.yaml").write_text("format: 2\nexperiment: core.mixture\n")
    with pytest.raises(UsageError, match="not trained to its end.*--resume"):
        model.load(tmp_path)


def test_own_classes_need_trust(tmp_path):
    code = (
        "import jax.numpy as jnp, own; from genkit import model; "
        "model.save(own.Own({'w': jnp.arange(3.0)}, own.Options()), 'own_model')"
    )
    (tmp_path / "own.py").write_text(
        "from dataclasses import dataclass, field\nfrom typing import Any\nfrom genkit.model import Trained\n"
        "from genkit.tree import register_dataclass\n"
        "@dataclass(frozen=True)\nclass Options:\n    a: int = 1\n"
        "@register_dataclass\n@dataclass(frozen=True, eq=False, repr=False)\nclass Own(Trained):\n"
        "    params: Any\n    options: Any = field(metadata={'static': True})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    load = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import genkit; "
    tried = load + "print('own' in sys.modules); genkit.load_model('own_model')"
    done = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode and "names own code (own:Options); give --trust" in done.stderr.splitlines()[-1]
    trusted = load + "print(genkit.load_model('own_model', trust=True).params['w'].tolist())"
    done = subprocess.run([sys.executable, "-c", trusted], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[0.0, 1.0, 2.0]", done.stderr


def test_a_page_cannot_name_code_as_a_component(folder, tmp_path, monkeypatch):
    import hashlib

    (tmp_path / "evil.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    text = (folder / "model.yaml").read_text()
    for wrong in ("networks/evil:Evil", "nokind/core.mlp"):
        body = text.rpartition("checksum: ")[0].replace("networks/core.mlp", wrong)
        digest = hashlib.sha256(body.encode()).hexdigest()
        (folder / "model.yaml").write_text(f"{body}checksum: {digest}\n")
        with pytest.raises(GenkitError, match="model.yaml: .* names no component") as caught:
            model.load(folder)
        assert "\n" not in str(caught.value) and not (tmp_path / "ran").exists()


def test_saving_does_not_touch_what_is_no_model(trained, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="precious is no folder of a model .thesis.txt.; give a new one"):
        trained.save(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def test_a_copy_keeps_what_it_was_trained_by(trained, tmp_path):
    from genkit.experiment.mixture import RingDiffusion

    model.save(trained, tmp_path / "a", RingDiffusion(steps=7), seed=3)
    copy = genkit.load_model(tmp_path / "a").save(tmp_path / "b")
    page = model.read(copy)
    assert page.recipe == RingDiffusion(steps=7) and page.about["seed"] == 3
    assert page.fingerprint == model.read(tmp_path / "a").fingerprint


def test_a_digest_tells_data_apart():
    data = {"x": np.arange(10.0), "names": ("a", "b")}
    assert model.digest(data) == model.digest({"x": np.arange(10.0), "names": ("a", "b")})
    for other in ({"x": np.arange(10.0) + 8, "names": ("a", "b")}, {"x": np.arange(10.0), "names": ("a", "c")}):
        assert model.digest(other) != model.digest(data)


@dataclass(frozen=True)
class Everything:
    """A value of every kind that a model may hold."""

    tree: Any
    table: dict[str, int]
    nested: tuple[Any, ...]
    empty: Any = None
    text: str = "µ: a"
    number: float = 1e-7
    shape: Any = field(default_factory=lambda: jax.ShapeDtypeStruct((2, 3), jnp.bfloat16))
    path: Path = Path("a/b")


def test_values_of_every_kind_come_back(monkeypatch):
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    value = Everything(
        tree={"layers": {0: {"w": np.ones((2, 2), ml_dtypes.bfloat16)}, 1: {"w": fortran}}, "flag": np.array(True)},
        table={"a": 1, "b": 2},
        nested=(1, (2.0, "x"), np.float64(3.5), np.zeros((0, 4), np.int8)),
    )
    arrays = {}
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Everything.__module__])
    plain = yaml.safe_load(yaml.safe_dump(encode(value, arrays)))
    from safetensors import deserialize
    from safetensors.numpy import save

    from genkit.model.files import _array

    stored = {name: _array(one) for name, one in deserialize(save(arrays))}
    again = decode(plain, stored, trust=True)
    assert (again.table, again.empty, again.text, again.number) == (value.table, None, "µ: a", 1e-7)
    assert again.shape == value.shape and again.path == value.path
    assert again.tree["layers"][0]["w"].dtype == ml_dtypes.bfloat16 and again.tree["flag"].shape == ()
    np.testing.assert_array_equal(again.tree["layers"][1]["w"], fortran)
    assert again.nested[:2] == (1, (2.0, "x")) and again.nested[2].dtype == np.float64
    assert again.nested[3].shape == (0, 4)
    assert jax.tree.structure(again.tree) == jax.tree.structure(value.tree)


@pytest.mark.parametrize(
    "value, message",
    [
        (jax.random.key(0), "a random key; keep the seed"),
        (np.array(["2020-01-01"], "datetime64[s]"), "an array of datetime64"),
        (print, "a builtin_function_or_method"),
    ],
)
def test_what_no_model_may_hold_is_refused(value, message):
    with pytest.raises(GenkitError, match=f"cannot hold here, {message}"):
        encode(value, {}, "here")


def test_a_network_is_a_pure_function_of_its_parameters():
    net = Net(NoisyMLP(width=8, depth=2), (3,))
    params = net.init(jax.random.key(0))
    assert type(params) is dict and jax.tree.structure(net.shapes()) == jax.tree.structure(params)
    assert net == Net(NoisyMLP(width=8, depth=2), (3,)) and hash(net) == hash(Net(NoisyMLP(width=8, depth=2), (3,)))
    x, level = jnp.ones((2, 3)), jnp.ones(2)
    np.testing.assert_array_equal(jax.jit(net)(params, x, level), net.module(params)(x, level))
    assert shapes_of({"a": np.ones((2, 1))})["a"] == jax.ShapeDtypeStruct((2, 1), np.float64)


def test_what_is_used_may_change_when_a_training_goes_on(trained, tmp_path, monkeypatch):
    from genkit.experiment.mixture import RingDiffusion

    folder = model.save(trained, tmp_path / "ring", RingDiffusion(sampler=trained.sampler)).origin.folder
    monkeypatch.setattr(RingDiffusion, "fit", lambda self, run, data, start: start)
    chosen = dataclasses.replace(model.recipe_of(folder), sampler=Heun(steps=9))
    for steps in (0, 5):
        assert dataclasses.replace(chosen, finetune=steps).obtain(None, None).sampler.steps == 9


@pytest.mark.parametrize("name", ["empty.npz", "torn.npz", "text.npz", "empty.safetensors", "text.npy"])
def test_files_of_arrays_that_are_none(name, tmp_path):
    file = tmp_path / name
    np.savez(tmp_path / "whole.npz", y=np.arange(9.0))
    content = {"empty": b"", "text": b"no arrays", "torn": (tmp_path / "whole.npz").read_bytes()[:40]}
    file.write_bytes(content[file.stem])
    if file.suffix != ".npy":
        with pytest.raises(GenkitError, match="cannot be read"):
            model.read_checkpoint(file)
    if file.suffix != ".safetensors":
        with pytest.raises(UsageError, match="cannot read"):
            model.arrays_in(file)
