"""Operators on images against direct computation, and a posterior that each of them leaves in closed form."""

import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from genkit.errors import DataError, UsageError
from genkit.plugin import registry
from genkit.steer import DDSMC, LinearOperator, observe, posterior
from genkit.testing import gaussian_denoiser
from genkit_inverse import operators
from genkit_inverse.operators import convolution, kronecker

SHAPE = (6, 8, 3)
IMAGE = np.random.default_rng(0).normal(size=(2, *SHAPE))
TASKS = [item.name.partition(".")[2] for item in registry().items("operators")]
NONLINEAR = {"phase_retrieval": {}, "jpeg": {"quality": 30}, "clipping": {"scale": 1.5}}
LINEAR = [name for name in TASKS if name not in NONLINEAR]
SMALL = {
    "random_matrix": {"rows": 7},
    "super_resolution": {"factor": 2},
    "gaussian_blur": {"std": 0.8},
    "motion_blur": {"length": 3},
    "mri": {"acceleration": 2.0, "centre": 0.25},
}
SEEN = np.random.default_rng(7).uniform(size=SHAPE[:2]) > 0.4
KERNEL = np.random.default_rng(8).uniform(size=(3, 4))
COILS = np.random.default_rng(9).normal(size=(2, 3, 6, 8)).view(np.float64)
COILS = COILS[0] + 1j * COILS[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A mask and a kernel of a user."""
    folder = tmp_path_factory.mktemp("files")
    Image.fromarray((255 * SEEN).astype(np.uint8)).save(folder / "mask.png")
    np.save(folder / "kernel.npy", KERNEL)
    np.save(folder / "coils.npy", COILS)
    np.save(folder / "columns.npy", SEEN[0])
    np.save(folder / "cells.npy", SEEN)
    return folder


def built(name, files=None, **options):
    own = {"inpaint": {"mask": "mask.png"}, "blur": {"kernel": "kernel.npy"}}.get(name, {})
    own = {key: files / value for key, value in own.items()}
    channels = {"tomography": 1, "mri": 1}.get(name, 3)
    task = registry().load("operators", name, "inverse")(**SMALL.get(name, {}), **own, **options)
    return task.build((*SHAPE[:2], channels))


def directly(name, x):
    """A x (n, m) without the operator."""
    n = len(x)
    kept = np.ones(SHAPE[:2], bool)
    if name == "inpaint_box":
        kept[round(6 * 0.25) : round(6 * 0.75), 2:6] = False
    if name == "inpaint_half":
        kept[:, 4:] = False
    if name == "inpaint":
        kept = SEEN
    if name in ("denoising", "inpaint", "inpaint_box", "inpaint_half"):
        return x[:, kept].reshape(n, -1)
    if name == "super_resolution":
        return x.reshape(n, 3, 2, 4, 2, 3).mean((2, 4)).reshape(n, -1)
    if name == "blur":
        near = [(i, j, np.roll(x, (i - 1, j - 2), (1, 2))) for i in range(3) for j in range(4)]
        return sum(KERNEL[i, j] * rolled for i, j, rolled in near).reshape(n, -1) / KERNEL.sum()
    if name == "gaussian_blur":
        return gaussian_filter(x, 0.8, axes=(1, 2), mode="reflect", truncate=5).reshape(n, -1)
    return x.mean(-1).reshape(n, -1)


@pytest.mark.parametrize(
    "name",
    [
        "denoising",
        "inpaint",
        "inpaint_box",
        "inpaint_half",
        "super_resolution",
        "blur",
        "gaussian_blur",
        "colourisation",
    ],
)
def test_what_is_measured(name, files):
    with jax.enable_x64(True):
        np.testing.assert_allclose(built(name, files)(jnp.asarray(IMAGE)), directly(name, IMAGE), atol=1e-4)


@pytest.mark.parametrize("name", [*LINEAR, "mri of complex images", "mri of many coils", "mri of complex coils"])
def test_rotations_are_orthogonal(name, files):
    """V and U have orthonormal columns, the adjoint is the transpose, singular values are those of the matrix."""
    if name.startswith("mri of"):
        coils = {"coils": files / "coils.npy", "mask": files / "columns.npy"} if "coils" in name else {}
        operator = operators.MRI(**coils or {"mask": files / "cells.npy"}).build((6, 8, 1 + ("complex" in name)))
    else:
        operator = built(name, files)
    with jax.enable_x64(True):
        sizes = operator.shape, (operator.rank,), (operator.size,)
        x, c, y = (jax.random.normal(jax.random.key(k), (3, *size), dtype=float) for k, size in enumerate(sizes))
        z = operator.to_basis(x)
        np.testing.assert_allclose((z**2).sum(1), (x**2).sum((1, 2, 3)), rtol=1e-6 if "coils" in name else 1e-10)
        np.testing.assert_allclose(operator.from_basis(z), x, atol=1e-6 if "coils" in name else 1e-10)
        tight = 1e-4 if "coils" in name else 1e-10  # their V is kept in float32
        np.testing.assert_allclose(operator.from_data(operator.to_data(c)), c, atol=tight)
        adjoint = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
        np.testing.assert_allclose(*adjoint, rtol=1e-10)
        columns = operator(jnp.eye(x[0].size).reshape(-1, *operator.shape))
        s = np.linalg.svd(np.asarray(columns), compute_uv=False)
        np.testing.assert_allclose(np.sort(np.asarray(operator.s))[::-1], s[: operator.rank], rtol=1e-5)
        assert s[operator.rank :].max(initial=0.0) < (1e-4 if isinstance(operator, operators.Gram) else 1e-5) * s[0]
        matrix = np.asarray(columns).T
        back = np.asarray(operator.pinv(y)).reshape(3, -1)
        np.testing.assert_allclose(
            back, np.asarray(y) @ np.linalg.pinv(matrix, rcond=1e-4).T, atol=1e-4 * np.abs(back).max()
        )


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("coils", [None, COILS])
def test_frequencies_of_an_mri(files, coils, channels):
    """Against a sum over cells: the frequency k of a coil, 0 in the middle, of any mask."""
    paths = {"mask": files / "cells.npy"} | ({} if coils is None else {"coils": files / "coils.npy"})
    task = operators.MRI(**paths)
    x = IMAGE[..., :channels]
    operator = task.build((6, 8, channels))
    z = x[..., 0] + (1j * x[..., 1] if channels == 2 else 0)
    places = [np.exp(-2j * np.pi * np.outer(np.arange(n) - n // 2, np.arange(n) - n // 2) / n) / n**0.5 for n in (6, 8)]
    sensed = z[:, None] * (np.ones((1, 6, 8)) if coils is None else coils)
    y = np.einsum("ka,lb,ncab->nckl", *places, sensed)
    expected = np.stack([task.numbers(one, operator) for one in y])
    assert task.layout(operator.shape) == y.shape[1:] and expected.shape == (2, operator.size)
    with jax.enable_x64(True):
        np.testing.assert_allclose(operator(jnp.asarray(x)), expected, atol=1e-6)
    assert isinstance(operator, LinearOperator) == (coils is None)


def test_compressed_sensing_at_the_size_of_a_photograph():
    """Orthonormal rows that see every number of an image, without a matrix."""
    operator = operators.CompressedSensing(share=0.1).build((64, 48, 3))
    y = jnp.asarray(np.random.default_rng(3).normal(size=(2, operator.size)), jnp.float32)
    np.testing.assert_allclose(operator(operator.adjoint(y)), y, atol=1e-4)
    assert operator.size == round(0.1 * 64 * 48 * 3) and (np.abs(operator.adjoint(y)) > 1e-6).mean() > 0.99


def test_sizes_of_frequencies():
    task = operators.PhaseRetrieval(oversampling=1.5, range=(-2.0, 2.0))
    operator = task.build(SHAPE)
    light = np.pad((IMAGE + 2) / 4, ((0, 0), (0, 3), (0, 4), (0, 0)))
    expected = np.abs(np.fft.fft2(light, axes=(1, 2))) / (9 * 12) ** 0.5
    with jax.enable_x64(True):
        np.testing.assert_allclose(operator(jnp.asarray(IMAGE)), expected.reshape(2, -1), atol=1e-9)
        moved = jnp.roll(operator(jnp.full((1, *SHAPE), -2.0)), 1)  # black: slopes at 0 are numbers
        slope = jax.grad(lambda x: operator(x).sum())(jnp.full((1, *SHAPE), -2.0))
    assert task.layout(SHAPE) == (9, 12, 3) and not moved.any() and np.isfinite(slope).all()


def test_images_of_the_same_phaseless_measurement():
    """The half turn, and a shift of dark margins; the mirror image and the negative measure something else."""
    task = operators.PhaseRetrieval()
    image = np.pad(np.random.default_rng(1).uniform(-1, 1, (4, 6, 3)), ((1, 1), (0, 2), (0, 0)), constant_values=-1)
    operator = task.build(image.shape)
    x, turned = task.alike(image[None])
    same = [x, turned, np.roll(x, (1, 2), (1, 2))]
    measured = np.asarray(operator(jnp.asarray(np.concatenate([*same, x[:, :, ::-1], -x]), jnp.float32)))
    np.testing.assert_allclose(measured[1:3], np.broadcast_to(measured[0], (2, operator.size)), atol=1e-5)
    assert np.abs(measured[3:] - measured[0]).max(1).min() > 0.1
    assert len(operators.GaussianBlur().alike(x)) == 1


@pytest.mark.parametrize("quality", [5, 50, 75])
@pytest.mark.parametrize(
    ("channels", "subsampling", "sides"),
    [(1, "4:4:4", (29, 38)), (3, "4:4:4", (29, 38)), (3, "4:2:0", (29, 38)), (3, "4:2:0", (20, 22))],
)
def test_jpeg_is_that_of_pillow(quality, channels, subsampling, sides):
    """To the level; where a coefficient is near a half the two may round to other sides, which moves its block."""
    smooth = gaussian_filter(np.random.default_rng(4).normal(size=(*sides, channels)), (3, 3, 0))
    grey = np.clip(128 + 60 * smooth / smooth.std(), 0, 255).round().astype(np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(grey if channels == 3 else grey[..., 0])
    image.save(file, "JPEG", quality=quality, **({"subsampling": subsampling} if channels == 3 else {}))
    compressed = Image.open(file)
    expected = np.asarray(compressed, float).reshape(grey.shape)
    operator = operators.JPEG(quality=quality, subsampling=subsampling).build(grey.shape)
    found = np.asarray(operator(jnp.asarray(grey[None] / 127.5 - 1, jnp.float32))).reshape(grey.shape) * 127.5 + 127.5
    error = np.abs(found - expected)
    assert (error > 1.01).mean() < 0.03 and error.mean() < 0.1
    if channels == 1:
        clear = _without_halves(grey[..., 0], np.reshape(compressed.quantization[0], (8, 8)))
        assert clear.mean() > 0.25 and error[clear].max() < 1.01


def test_the_slope_of_jpeg_is_that_of_the_identity():
    """Also where coefficients are 0, as all of a flat picture are but one."""
    operator = operators.JPEG(subsampling="4:4:4").build((8, 8, 3))
    x, v = jnp.zeros((1, 8, 8, 3)), jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 8, 3)), jnp.float32)
    np.testing.assert_allclose(jax.jvp(operator, (x,), (v,))[1], v.reshape(1, -1), atol=1e-3)


def _without_halves(plane, steps):
    """Cells of the blocks none of whose coefficients over their steps is near a half, to .2 of a coefficient."""
    h, w = plane.shape
    blocks = np.pad(plane - 128.0, ((0, -h % 8), (0, -w % 8)), mode="edge")
    rows, columns = blocks.shape[0] // 8, blocks.shape[1] // 8
    c = dctn(blocks.reshape(rows, 8, columns, 8), axes=(1, 3), norm="ortho").swapaxes(1, 2)
    near = np.abs(np.abs(c / steps) % 1 - 0.5) < 0.2 / np.asarray(steps)
    return np.kron(~near.any((2, 3)), np.ones((8, 8), bool))[:h, :w]


def test_clipping():
    operator = operators.Clipping(scale=2.0, range=(-0.5, 1.0)).build((2, 2, 1))
    x = jnp.array([-0.1, -0.4, 0.3, 0.9]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(operator(x)[0], [0.3, -0.3, 1.0, 1.0], rtol=1e-6)  # black, -.5, stays black


@pytest.mark.parametrize("size", [(12, 8), (16, 24)])
def test_bicubic_is_that_of_pillow(size):
    image = np.random.default_rng(5).normal(size=size).astype(np.float32)
    small = Image.fromarray(image).resize((size[1] // 4, size[0] // 4), Image.Resampling.BICUBIC)
    operator = operators.SuperResolution(factor=4, filter="bicubic").build((*size, 1))
    np.testing.assert_allclose(operator(jnp.asarray(image[None, ..., None]))[0], np.asarray(small).ravel(), atol=1e-4)


def test_brightness_of_colours():
    operator = operators.Colourisation(weights="luma").build(SHAPE)
    expected = IMAGE @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(operator(jnp.asarray(IMAGE, jnp.float32)), expected.reshape(2, -1), atol=1e-5)


@pytest.mark.parametrize("name", NONLINEAR)
def test_slopes_of_what_is_not_linear(name):
    """JPEG's is that without rounding: of a picture that it keeps, that of the identity."""
    operator = registry().load("operators", name, "inverse")(**NONLINEAR[name]).build(SHAPE)
    x = jnp.asarray(0.3 * IMAGE[:1])
    v = jnp.asarray(IMAGE[1:])
    with jax.enable_x64(True):
        x, v = (jnp.asarray(np.asarray(a, np.float64)) for a in (x, v))
        forth = jax.jvp(operator, (x,), (v,))[1]
        w = jnp.asarray(np.random.default_rng(6).normal(size=forth.shape))
        np.testing.assert_allclose((forth * w).sum(), (jax.vjp(operator, x)[1](w)[0] * v).sum(), rtol=1e-6)
        if name != "jpeg":
            step = (operator(x + 1e-6 * v) - operator(x - 1e-6 * v)) / 2e-6
            np.testing.assert_allclose(forth, step, atol=1e-5)


def test_convolution_is_circular_and_centred():
    kernel = np.random.default_rng(1).normal(size=(3, 4))  # without symmetry: the phases count
    with jax.enable_x64(True):
        y = np.asarray(convolution(kernel, SHAPE)(jnp.asarray(IMAGE))).reshape(IMAGE.shape)
    expected = sum(kernel[i, j] * np.roll(IMAGE, (i - 1, j - 2), (1, 2)) for i in range(3) for j in range(4))
    np.testing.assert_allclose(y, expected, atol=1e-10)


def test_motion_along_a_row():
    """A line of three cells, whose ends reach half a cell to the sides: means of shifted rows."""
    operator = operators.MotionBlur(length=3, angle=0.0).build(SHAPE)
    impulse = np.zeros((1, *SHAPE))
    impulse[0, 3, 4] = 1.0
    y = np.asarray(operator(jnp.asarray(impulse, jnp.float32))).reshape(SHAPE)[..., 0]
    assert np.abs(np.delete(y, 3, 0)).max() < 1e-6
    np.testing.assert_allclose(y[3], y[3, ::-1][[7, 0, 1, 2, 3, 4, 5, 6]], atol=1e-6)
    assert y.sum() == pytest.approx(1, abs=1e-5) and y[3, 4] > y[3, 3] > 0.2


def test_tomography_keeps_the_mass_in_every_direction():
    operator = operators.Tomography(angles=5).build((6, 8, 1))
    x = np.abs(IMAGE[:, ..., :1]).astype(np.float32)
    sums = np.asarray(operator(jnp.asarray(x))).reshape(2, 5, -1).sum(-1)
    np.testing.assert_allclose(sums, np.broadcast_to(x.sum((1, 2, 3))[:, None], (2, 5)), rtol=1e-4)
    upright = np.asarray(operator(jnp.asarray(x))).reshape(2, 5, -1)[:, 0]  # along columns, which fall on bins
    np.testing.assert_allclose(upright[:, 2:10], x[..., 0].sum(1), rtol=1e-4)


def test_random_cells():
    operator = operators.RandomInpainting(share=0.75, seed=3).build(SHAPE)
    assert operator.size == 12 * 3
    again = operators.RandomInpainting(share=0.75, seed=4).build(SHAPE)
    assert (np.asarray(operator.order) != np.asarray(again.order)).any()


@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("name", ["motion_blur", "colourisation"])
def test_ddsmc_on_images_has_the_posterior_of_its_chain(name):
    """Prior N(0, I): in the basis every coordinate is a problem in one dimension, as in the tests of DDSMC."""
    operator = built(name)
    truth = jnp.asarray(IMAGE[:1, ..., : operator.shape[2]], jnp.float32)
    y, method = operator(truth)[0], DDSMC(steps=12, sigma_min=0.05, sigma_max=20.0, recon="ode")
    levels = method.levels(gaussian_denoiser().process).s
    f = np.cumprod((1 + levels * np.append(levels[1:], 0.0))[::-1] / (1 + levels**2)[::-1])[::-1]
    v = levels[0] ** 2
    for gain, after in zip(f, [*levels[1:], 0.0], strict=True):
        v = gain**2 * v + after**2
    draws = posterior(jax.random.key(0), method, gaussian_denoiser(), observe(operator, y, 2.0), 100, 300)
    z = np.asarray(operator.to_basis(draws.x[:, 0]))
    s, c = np.asarray(operator.s), np.asarray(operator.from_data(y[None])[0])
    mean, variance = np.zeros(z.shape[1]), np.full(z.shape[1], v)
    mean[: s.size] = v * s * c / (s**2 * v + 4)
    variance[: s.size] = 4 * v / (s**2 * v + 4)
    scaled = (z - mean) / np.sqrt(variance)
    assert abs((scaled**2).mean() - 1) < 5 * (2 / scaled.size) ** 0.5 + 0.02
    assert np.abs(scaled.mean(0)).max() < 5 / 100**0.5


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: operators.BoxInpainting(share=1.0).build(SHAPE), "share=1.0"),
     (lambda: operators.SuperResolution(factor=4).build(SHAPE), "do not tile"),
     (lambda: operators.GaussianBlur(std=0.0).build(SHAPE), "std=0.0"),
     (lambda: operators.MotionBlur(length=9).build(SHAPE), "larger than the image"),
     (lambda: operators.MotionBlur(length=0).build(SHAPE), "length=0"),
     (lambda: operators.Tomography().build(SHAPE), "3 channels"),
     (lambda: operators.Inpainting().build(SHAPE), "inpaint needs a mask"),
     (lambda: operators.Inpainting(Path("none.png")).build(SHAPE), "none.png does not exist"),
     (lambda: operators.Blur().build(SHAPE), "blur needs a kernel"),
     (lambda: operators.CompressedSensing(share=1.5).build(SHAPE), "share=1.5"),
     (lambda: operators.MRI().build(SHAPE), "3 channels; expected one"),
     (lambda: operators.MRI(acceleration=0.5).build(SHAPE), "acceleration=0.5"),
     (lambda: operators.PhaseRetrieval(oversampling=0.5).build(SHAPE), "oversampling=0.5"),
     (lambda: operators.JPEG(quality=101).build(SHAPE), "quality=101"),
     (lambda: operators.JPEG().build((8, 8, 2)), "2 channels"),
     (lambda: operators.Clipping(range=(1.0, 0.0)).build(SHAPE), "black below white"),
     (lambda: operators.Clipping(scale=0.0).build(SHAPE), "scale=0.0"),
     (lambda: operators.Colourisation(weights="luma").build((8, 8, 1)), "weights=luma of 1"),
     (lambda: kronecker(np.zeros((1, 2)), np.eye(2)), "measures nothing")],
)  # fmt: skip
def test_wrong_sizes(make, says):
    with pytest.raises((UsageError, DataError), match=says):
        make()
