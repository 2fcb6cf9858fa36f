"""Own pictures: how they are read, and restored from the command line."""

import contextlib
import json
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from genkit.cli.main import main
from genkit.diffusion import EDMDenoiser, Heun
from genkit.errors import DataError, GenkitError, UsageError
from genkit.model import save
from genkit.steer import DDRM, DDSMC, Denoising, Poisson, RandomMatrix
from genkit_inverse.images import Images
from genkit_inverse.models import ImageDiffusion, ImagePrior, Restore, Windowed
from genkit_inverse.operators import MRI, Blur, Colourisation, Inpainting, SuperResolution, Tomography
from genkit_inverse.pictures import Restored, read_picture, write_picture

RNG = np.random.default_rng(0)
SEEN = RNG.uniform(size=(8, 8)) > 0.4
DAMAGED = np.where(SEEN, RNG.integers(40, 200, (8, 8)), 0).astype(np.uint8)


def zero(params, x, noise, cond):
    """A network that says nothing: with sigma_data .5 the exact denoiser of N(0, .25 I)."""
    return jnp.zeros_like(x)


def normal(channels=1, size=8):
    return ImageDiffusion(EDMDenoiser(zero, None, range=(-1.0, 1.0)), (size, size, channels), Heun())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    grey = Image.fromarray(DAMAGED)
    for mode in ("L", "RGB", "RGBA", "LA", "P"):
        grey.convert(mode).save(folder / f"{mode}.png")
    Image.fromarray(DAMAGED.astype(np.uint16) * 256).save(folder / "deep.png")
    Image.fromarray(np.zeros((8, 7), np.uint8)).save(folder / "narrow.png")
    Image.fromarray((255 * SEEN).astype(np.uint8)).save(folder / "mask.png")
    Image.fromarray((255 * SEEN).astype(np.uint8)).convert("1").save(folder / "bits.png")
    (folder / "torn.png").write_bytes((folder / "L.png").read_bytes()[:60])
    (folder / "text.png").write_text("no picture")
    y = DAMAGED / 127.5 - 1
    np.save(folder / "whole.npy", np.where(SEEN, y, np.nan))  # what is hidden may be anything
    np.save(folder / "nan.npy", np.full((8, 8), np.nan))
    np.save(folder / "bytes.npy", DAMAGED.astype(float))
    np.save(folder / "flat.npy", y[SEEN])
    np.save(folder / "words.npy", np.array(["a"]))
    return folder


def asked(files, name, **options):
    return Restore(**{"operator": Inpainting(files / "mask.png"), "observation": files / name} | options)


def test_pictures_there_and_back(tmp_path):
    for channels in (1, 3):
        image = RNG.integers(0, 256, (5, 7, channels)) / 255
        write_picture(tmp_path / "a.png", image)
        np.testing.assert_allclose(read_picture(tmp_path / "a.png"), image, atol=1e-12)
    turned = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_allclose(read_picture(tmp_path / "turned.png")[..., 0] * 255, [[3, 0], [4, 1], [5, 2]])


@pytest.mark.parametrize(
    ("name", "says"),
    [("RGB.png", "RGB.png is 8 x 8 in colour; expected 8 x 8 in grey"), ("RGBA.png", "alpha channel"),
     ("LA.png", "alpha channel"), ("P.png", "palette"), ("deep.png", "16 bits"),
     ("narrow.png", "8 x 7 in grey; expected 8 x 8 in grey"), ("torn.png", "torn.png"), ("text.png", "no picture"),
     ("none.png", "does not exist"), ("nan.npy", "NaN or infinite"), ("words.npy", "expected numbers"),
     ("bytes.npy", "values from 42 to 199; expected the units"), (".", "is no file"), ("a.txt", "is no|does not")],
)  # fmt: skip
def test_files_that_are_refused(files, name, says):
    with pytest.raises(GenkitError, match=says) as caught:
        asked(files, name, std=0.1).observed(normal())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"operator": Inpainting()}, "inpaint needs a mask"), ({"noise": Poisson()}, "--noise is of the numbers"),
     ({"operator": Tomography()}, "a picture, which Tomography does not measure"),
     ({"operator": RandomMatrix(rows=5)}, "RandomMatrix does not measure"), ({"size": (16, 16)}, "no other size"),
     ({"operator": Denoising(), "observation": "bytes.npy", "std": 0.1}, "values from 0 to 199; expected the units")],
)  # fmt: skip
def test_what_does_not_go_together(files, options, says):
    ask = asked(files, options.pop("observation", "L.png"), **options)
    with pytest.raises((UsageError, DataError), match=says):
        ask.writer(files / "out", normal())


def test_damaged_pictures(tmp_path):
    """Files with a byte changed: each is read or refused in one line."""
    rng = np.random.default_rng(1)
    for ending, options in ((".tif", {"compression": "tiff_lzw"}), (".tif", {}), (".png", {}), (".jpg", {})):
        file = tmp_path / f"a{ending}"
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(file, **options)
        whole = bytearray(file.read_bytes())
        for place in rng.integers(0, len(whole), 150):
            file.write_bytes(whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :])
            with contextlib.suppress(DataError), warnings.catch_warnings(action="ignore"):
                read_picture(file)


def test_masks_that_are_refused(files):
    for name, says in (
        ("narrow.png", "expected 8 x 8"),
        ("P.png", "palette"),
        ("nan.npy", "NaN"),
        ("x.png", "not exist"),
    ):
        with pytest.raises(DataError, match=says):
            Inpainting(files / name).build((8, 8, 1))
    with pytest.raises(DataError, match="NaN"):
        MRI(files / "nan.npy").build((8, 8, 1))
    np.save(files / "dark.npy", np.zeros((3, 3)))
    with pytest.raises(DataError, match="the kernel .*dark.npy has the sum 0; give"):
        Blur(files / "dark.npy").build((8, 8, 1))
    same = [Inpainting(files / name).build((8, 8, 3)).order for name in ("mask.png", "bits.png")]
    np.testing.assert_array_equal(*same)
    other = Inpainting(files / "mask.png", hidden="bright").build((8, 8, 1))
    assert other.size == 64 - SEEN.sum()


def test_every_way_to_give_a_measurement_is_the_same(files):
    """A picture, the whole measurement with what is hidden, the numbers alone, bits as a mask."""
    y = [asked(files, name, std=0.1).observed(normal()).y for name in ("L.png", "whole.npy", "flat.npy")]
    for one in y[1:]:
        np.testing.assert_allclose(one, y[0], atol=1e-12)
    np.testing.assert_allclose(y[0], (DAMAGED / 127.5 - 1)[SEEN])
    assert asked(files, "L.png").observed(normal()).std == pytest.approx(2 / 255 / 12**0.5)
    with pytest.raises(UsageError, match="flat.npy has no std"):
        asked(files, "flat.npy").observed(normal())


def test_layouts_of_measurements(files, tmp_path):
    small = SuperResolution(factor=2)
    Image.fromarray(DAMAGED[:4, :4]).save(tmp_path / "small.png")
    assert Restore(operator=small, observation=tmp_path / "small.png").observed(normal()).y.shape == (16,)
    Restore(operator=Colourisation(), observation=files / "L.png").observed(normal(3))
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(DAMAGED / 255), norm="ortho"))[None]
    np.save(tmp_path / "k.npy", kspace)
    ask = Restore(operator=MRI(acceleration=2.0), observation=tmp_path / "k.npy", std=0.1)
    observation = ask.observed(normal())
    np.testing.assert_allclose(
        observation.y, observation.operator(jnp.asarray(DAMAGED[None, ..., None] / 255))[0], atol=1e-5
    )
    np.save(tmp_path / "k.npy", kspace.real)
    with pytest.raises(UsageError, match="expected complex"):
        ask.observed(normal())
    with pytest.raises(UsageError, match="one of them"):
        Restore(operator=small, observation=tmp_path / "small.png", std=0.1, noise=Poisson())


def test_a_picture_is_restored_exactly(files, tmp_path):
    """Prior N(0, .25 I): what is seen has mean y / (1 + 4 std^2), what is hidden mean 0 and the chain's deviation."""
    method = DDSMC(steps=30, sigma_max=20.0, eta=1.0, spread=0.5)
    ask = asked(files, "L.png", std=0.2, method=method, particles=16)
    found = normal().sample(jax.random.key(0), 400, **{f: getattr(ask, f) for f in vars(ask)})
    x, y = found["samples"][..., 0], DAMAGED / 127.5 - 1
    sd = method.prior_std()
    v = sd**2 * 0.04 / (sd**2 + 0.04)
    mean = sd**2 * y / (sd**2 + 0.04)
    assert np.abs((x.mean(0) - mean)[SEEN]).max() < 5 * (v / 400) ** 0.5 + 0.02
    assert np.abs(x.mean(0)[~SEEN]).max() < 5 * sd / 20
    np.testing.assert_allclose(x.std(0)[~SEEN].mean(), sd, rtol=0.05)
    gap = ((y - mean)[SEEN] ** 2 + v).sum() / 0.04
    assert found["chi2"].mean() == pytest.approx(gap, rel=0.1)
    log_p = -0.5 * (y[SEEN] ** 2 / (sd**2 + 0.04) + np.log(2 * np.pi * (sd**2 + 0.04))).sum()
    log_z = np.log(np.exp(found["log_z"] - found["log_z"].max()).mean()) + found["log_z"].max()
    assert log_z == pytest.approx(log_p, abs=1.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An untrained network for 8 x 8 images in grey, in [-1, 1]."""
    prior = ImagePrior.preset("tiny")
    images = Images(*(RNG.uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32) for _ in range(3)), range=(-1.0, 1.0))
    model = prior._untrained(images)
    denoiser = model.denoiser
    folder = tmp_path_factory.mktemp("models") / "prior"
    params = denoiser.network.init(jax.random.key(0))
    save(
        ImageDiffusion(EDMDenoiser(denoiser.network, params, 0.5, range=(-1.0, 1.0)), (8, 8, 1), Heun(steps=3)), folder
    )
    return folder


def test_restored_in_one_command(saved, files, tmp_path, capsys):
    out = tmp_path / "restored"
    words = ["sample", str(saved), "--operator", "inverse.inpaint", "--operator.mask", str(files / "mask.png")]
    words += ["--method", "ddsmc", "--method.steps", "4", "--particles", "2", "--n", "3"]
    assert main([*words, "--observation", str(files / "L.png"), "--out", f"{out}/"]) == 0
    said = capsys.readouterr().out
    numbers = json.loads((out / "summary.json").read_text())
    assert numbers["measured"] == SEEN.sum() and numbers["residual_chi2"] > 0 and np.isfinite(numbers["log_evidence"])
    assert re.search(r"3 samples.*residual chi\^2 .* of \d+ numbers; log evidence .*; noise of std 0.00226", said)
    names = {path.name for path in out.iterdir()}
    assert names == {"sample_000.png", "sample_001.png", "sample_002.png", "mean.png", "std.png", "samples.npz",
                     "summary.json"}  # fmt: skip
    with np.load(out / "samples.npz") as kept:
        np.testing.assert_allclose(kept["mean"], kept["samples"].mean(0), atol=1e-6)
        shown = np.clip((kept["samples"][0] + 1) / 2, 0, 1)
    np.testing.assert_allclose(read_picture(out / "sample_000.png"), shown, atol=0.6 / 255)
    for name in ("RGBA.png", "none.png", "narrow.png"):
        assert main([*words, "--observation", str(files / name), "--out", f"{out}-2/"]) in (1, 2)
        error = capsys.readouterr().err.strip()
        assert name in error and len(error.splitlines()) == 1
    assert main([*words, "--observation", str(files / "L.png"), "--out", f"{out}/"]) == 2
    assert "restored is not an empty folder; choose another one" in capsys.readouterr().err


@pytest.mark.parametrize("lost", [1, 3])
def test_samples_that_are_not_finite(tmp_path, lost):
    """They are counted; the mean and chi^2 are those of the others."""
    x = RNG.uniform(-1, 1, (3, 4, 4, 1))
    x[:lost, 1, 2] = np.nan
    writer = Restored(tmp_path / "out", None, {"measured": 16})
    writer.write({"samples": x, "chi2": np.where(np.arange(3) < lost, np.nan, [0.0, 14.0, 18.0])})
    line = writer.close()
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert numbers["not_finite"] == lost and len(list((tmp_path / "out").iterdir())) == 7
    if lost == 3:
        assert line == "3 samples, none of which is finite" and numbers["std"] is None
    else:
        assert line.startswith("3 samples, 1 of them not finite; of the others mean and standard deviation (")
        assert "residual chi^2 16 of 16 numbers" in line
        with np.load(tmp_path / "out" / "samples.npz") as kept:
            np.testing.assert_allclose(kept["mean"], x[1:].mean(0))


def test_images_of_another_size(saved):
    """A convolutional network restores at any size; one whose parameters depend on it says so."""
    from genkit import load_model

    model = load_model(saved).resized((12, 10))
    assert model.denoiser(jnp.zeros((1, 12, 10, 1)), jnp.ones(1)).shape == (1, 12, 10, 1)


def test_large_images_by_windows():
    """Exact where a cell tells of itself alone; a denoiser of a longer reach as on the whole, but for the seams."""
    x = jnp.asarray(RNG.normal(size=(2, 13, 21, 1)), jnp.float32)

    def alone(x, t, cond=None):
        return jnp.tanh(x / t.reshape(-1, 1, 1, 1) ** 2)  # of -1 and 1

    def near(x, t, cond=None):
        return (jnp.roll(x, 1, 2) + x + jnp.roll(x, -1, 2)) / 3

    t = jnp.array([0.5, 2.0])
    for overlap in (0, 3, 7):
        np.testing.assert_allclose(Windowed(alone, (8, 8), overlap)(x, t), alone(x, t), atol=1e-6)
    found = Windowed(near, (8, 8), 2)(x, t) - near(x, t)
    assert (
        np.abs(found[:, :, [1, 2, 3, 5, 6, 8, 10, 12, 14, 15, 17, 18, 19]]).max() < 1e-6
    )  # columns where no window ends
    model = normal().resized((13, 21), 3)
    np.testing.assert_allclose(model.denoiser(x, jnp.float32(0.5)), x / 2, atol=1e-6)
    assert model.sample(jax.random.key(0), 2).shape == (2, 13, 21, 1) and model.denoiser.range == (-1, 1)
    for size, overlap, says in (((7, 9), 2, "7 x 9 are smaller than a window, 8 x 8"), ((9, 9), 8, "expected 0 to 7")):
        with pytest.raises(UsageError, match=says):
            normal().resized(size, overlap)
    with pytest.raises(UsageError, match="overlap=2 is for images of another size"):
        Restore(overlap=2)


def test_methods_without_weights_have_no_evidence(files):
    ask = asked(files, "L.png", std=0.1, method=DDRM(steps=3))
    found = normal().sample(jax.random.key(0), 2, **{f: getattr(ask, f) for f in vars(ask)})
    assert set(found) == {"samples", "chi2"}
