"""Operators on images against direct computation, and a posterior that each of them leaves in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from genkit.errors import UsageError
from genkit.plugin import registry
from genkit.steer import DDSMC, observe, posterior
from genkit.testing import gaussian_denoiser
from genkit_inverse import operators
from genkit_inverse.operators import convolution, kronecker

SHAPE = (6, 8, 3)
IMAGE = np.random.default_rng(0).normal(size=(2, *SHAPE))
TASKS = [item.name.partition(".")[2] for item in registry().items("operators")]
SMALL = {
    "random_matrix": {"rows": 7},
    "super_resolution": {"factor": 2},
    "gaussian_blur": {"std": 0.8},
    "motion_blur": {"length": 3},
}


def built(name):
    return (
        registry()
        .load("operators", name, "inverse")(**SMALL.get(name, {}))
        .build((6, 8, 1) if name == "tomography" else SHAPE)
    )


def directly(name, x):
    """A x (n, m) without the operator."""
    n = len(x)
    kept = np.ones(SHAPE[:2], bool)
    if name == "inpaint_box":
        kept[round(6 * 0.25) : round(6 * 0.75), 2:6] = False
    if name == "inpaint_half":
        kept[:, 4:] = False
    if name in ("denoising", "inpaint_box", "inpaint_half"):
        return x[:, kept].reshape(n, -1)
    if name == "super_resolution":
        return x.reshape(n, 3, 2, 4, 2, 3).mean((2, 4)).reshape(n, -1)
    if name == "gaussian_blur":
        return gaussian_filter(x, 0.8, axes=(1, 2), mode="reflect", truncate=5).reshape(n, -1)
    return x.mean(-1).reshape(n, -1)


@pytest.mark.parametrize(
    "name", ["denoising", "inpaint_box", "inpaint_half", "super_resolution", "gaussian_blur", "colourisation"]
)
def test_what_is_measured(name):
    with jax.enable_x64(True):
        np.testing.assert_allclose(built(name)(jnp.asarray(IMAGE)), directly(name, IMAGE), atol=1e-4)


@pytest.mark.parametrize("name", TASKS)
def test_rotations_are_orthogonal(name):
    operator = built(name)
    with jax.enable_x64(True):
        sizes = operator.shape, (operator.rank,), (operator.size,)
        x, c, y = (jax.random.normal(jax.random.key(k), (3, *size), dtype=float) for k, size in enumerate(sizes))
        z = operator.to_basis(x)
        np.testing.assert_allclose((z**2).sum(1), (x**2).sum((1, 2, 3)), rtol=1e-10)
        np.testing.assert_allclose(operator.from_basis(z), x, atol=1e-10)
        np.testing.assert_allclose(operator.from_data(operator.to_data(c)), c, atol=1e-10)
        adjoint = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
        np.testing.assert_allclose(*adjoint, rtol=1e-10)
        columns = operator(jnp.eye(x[0].size).reshape(-1, *operator.shape))
        s = np.linalg.svd(np.asarray(columns), compute_uv=False)
        np.testing.assert_allclose(np.sort(np.asarray(operator.s))[::-1], s[: operator.rank], rtol=1e-5)
        assert s[operator.rank :].max(initial=0.0) < 1e-5 * s[0]


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
     (lambda: kronecker(np.zeros((1, 2)), np.eye(2)), "measures nothing")],
)  # fmt: skip
def test_wrong_sizes(make, says):
    with pytest.raises(UsageError, match=says):
        make()
