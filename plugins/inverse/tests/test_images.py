"""Images: data, exact posteriors, calibration of samplers, and the experiments at their smallest."""

import contextlib
import re
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
import genkit_inverse
from genkit.cli.completion import candidates
from genkit.diffusion import Heun
from genkit.errors import DataError, UsageError
from genkit.model import Diffusion
from genkit.steer import DDSMC, DPS, Denoising, observe, posterior, weighs
from genkit_inverse import scores
from genkit_inverse.datasets.digits import Digits
from genkit_inverse.datasets.gaussian_patches import GaussianPatches
from genkit_inverse.datasets.mnist import MNIST
from genkit_inverse.images import Images
from genkit_inverse.operators import MRI, GaussianBlur, PhaseRetrieval, SuperResolution

PATCHES = GaussianPatches().load()
PRIOR = PATCHES.prior
STD, IMAGES, DRAWS, PEAK = 0.1, 160, 15, 3.0


def test_digits():
    data = Digits().load()
    assert [len(x) for x in (data.train, data.val, data.test)] == [1397, 200, 200] and data.shape == (8, 8, 1)
    assert data.train.min() == -1 and data.train.max() == 1 and data.peak == 2
    np.testing.assert_array_equal(data.test, Digits().load().test)


def test_mnist():
    if MNIST().path() is None:
        pytest.skip("images/t10k-images-idx3-ubyte.gz is not in GENKIT_DATA")
    data = MNIST().load()
    assert data.train.shape == (9000, 28, 28, 1) and len(data.val) == len(data.test) == 500
    assert data.train.min() == -1 and data.train.max() == 1
    assert data.train.mean() == pytest.approx(2 * 33.8 / 255 - 1, abs=0.01)  # the mean grey level of the file


def idx(file, array):
    head = bytes([0, 0, {"u1": 8, "i2": 11}[array.dtype.str[1:]], array.ndim])
    file.write_bytes(
        head + np.array(array.shape, ">u4").tobytes() + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def test_files_as_of_fashion_mnist(tmp_path):
    """All images of the two files, those of t10k for the test; what is no image or not there is named."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(256, size=(n, 6, 5), dtype=np.uint8) for n in (20, 3))
    idx(tmp_path / "train-images-idx3-ubyte", train)
    with pytest.raises(DataError, match="has no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"):
        MNIST(tmp_path).load()
    idx(tmp_path / "t10k-images-idx3-ubyte", test)
    data = MNIST(tmp_path).load()
    np.testing.assert_allclose(data.test[..., 0], test / 127.5 - 1, atol=1e-6)
    assert [len(x) for x in (data.train, data.val)] == [18, 2] and MNIST(tmp_path).path() == tmp_path
    whole = np.concatenate([data.train, data.val])[..., 0]
    np.testing.assert_allclose(np.sort(whole, 0), np.sort(train / 127.5 - 1, 0), atol=1e-6)
    for wrong, says in (
        (test.astype("i2"), "int16 of shape"),
        (test[0], r"uint8 of shape \(6, 5\)"),
        (test[:, :4], "test images have shape"),
    ):
        idx(tmp_path / "t10k-images-idx3-ubyte", wrong)
        with pytest.raises(DataError, match=says):
            MNIST(tmp_path).load()
    assert MNIST(tmp_path / "none").path() is None


def test_wrong_images():
    with pytest.raises(DataError, match=r"val images have shape \(2, 3, 3, 1\); expected \(n, \*\(4, 4, 1\)\)"):
        Images(np.zeros((2, 4, 4, 1)), np.zeros((2, 3, 3, 1)), np.zeros((2, 4, 4, 1)))
    with pytest.raises(UsageError, match="correlation=1.0"):
        GaussianPatches(correlation=1.0)


def test_the_law_of_the_patches():
    x = PATCHES.train[..., 0]
    for di, dj in ((0, 0), (0, 1), (2, 3)):
        products = (x[:, 0, 0] * x[:, di, dj]) / 0.25
        assert abs(products.mean() - 0.9 ** (di + dj)) < 4 * products.std() / len(x) ** 0.5


def test_the_exact_denoiser_is_the_posterior_of_denoising():
    y = PATCHES.test[:1]
    mean, cov, log_z = PRIOR.posterior(observe(Denoising().build((8, 8, 1)), y.ravel(), 0.7))
    np.testing.assert_allclose(PRIOR(jnp.asarray(y), jnp.float32(0.7)).ravel(), mean, atol=1e-4)
    np.testing.assert_allclose(np.linalg.inv(cov), np.linalg.inv(PRIOR.cov) + np.eye(64) / 0.49, rtol=1e-4, atol=1e-3)
    values = np.linalg.eigvalsh(PRIOR.cov) + 0.49
    assert log_z == pytest.approx(float(PRIOR.flat.log_prob(jnp.asarray(y.reshape(1, -1)), 0.7)[0]), abs=1e-2)
    assert values.min() > 0.49


@pytest.fixture(scope="module")
def measured():
    """Truths, and their block means with noise."""
    truth, operator = PATCHES.test[:IMAGES], SuperResolution(factor=2).build((8, 8, 1))
    noise = STD * np.random.default_rng(5).normal(size=(IMAGES, operator.size)).astype(np.float32)
    return truth, [observe(operator, y, STD) for y in np.asarray(operator(jnp.asarray(truth))) + noise]


def judged(x, truth, observed):
    found = scores.calibration(jax.random.key(3), np.asarray(x), truth, observed, PEAK)
    return scores.summary(scores.restored(np.asarray(x).mean(1), truth, PEAK) | found, DRAWS)


def restored(method, particles, observed):
    def one(key, y):
        observation = observe(observed[0].operator, y, STD)
        return posterior(key, table, PRIOR, observation, DRAWS, particles).x[:, 0]

    table = method.table(PRIOR.process)
    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), IMAGES), jnp.stack([o.y for o in observed]))


def test_exact_samples_are_calibrated(measured):
    """The judge is right: uniform ranks, a spread like the error, residuals like chi."""
    x, log_z = scores.exact(jax.random.key(1), PRIOR, measured[1], DRAWS)
    result = judged(x, *measured)
    assert result["rank_p"] > 0.01 and result["spread_skill"] == pytest.approx(1, abs=0.05)
    assert all(result[f"residual_{q}"] == pytest.approx(1, abs=0.04) for q in scores.LEVELS)
    assert log_z.shape == (IMAGES, 1)
    np.testing.assert_allclose(scores.covered(np.asarray(x), measured[0]), 1, atol=0.06)
    narrow = judged(x.mean(1, keepdims=True) + 0.5 * (x - x.mean(1, keepdims=True)), *measured)
    assert narrow["rank_p"] < 1e-4 and narrow["spread_skill"] == pytest.approx(0.5, abs=0.03)


def test_what_is_shown_of_a_measurement(tmp_path):
    """Frequencies of a complex image have its numbers but are no picture; a blurred image is one."""
    np.save(tmp_path / "mask.npy", np.ones(8))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 8, 2)), jnp.float32)
    for task, expected in (
        (MRI(tmp_path / "mask.npy"), lambda a: x),
        (GaussianBlur(), lambda a: a(x).reshape(x.shape)),
    ):
        operator = task.build((8, 8, 2))
        assert operator.size == 128
        shown = scores.seen(task, [observe(operator, operator(x)[0], STD)])
        np.testing.assert_allclose(shown, expected(operator), atol=1e-4)


def test_samples_turned_as_the_truth():
    """Each by itself, of a task whose measurement does not tell; samples that are not finite stay so."""
    truth = np.random.default_rng(0).normal(size=(2, 4, 4, 1))
    x = np.stack([truth, truth[:, ::-1, ::-1], np.full_like(truth, np.nan)], 1)
    found = scores.nearest(PhaseRetrieval(), x, truth)
    np.testing.assert_array_equal(found[:, :2], np.stack([truth, truth], 1))
    assert np.isnan(found[:, 2]).all()
    np.testing.assert_array_equal(scores.nearest(GaussianBlur(), x, truth), x)


def test_structural_similarity():
    """Against the sums of Wang et al. 2004 at one cell; 1 for the truth, by a constant the term of the means alone."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 1, 11, 11, 1))
    at = np.arange(11) - 5
    w = np.exp(-(at[:, None] ** 2 + at**2) / 4.5)
    w = w / w.sum()
    a, b = x[0, ..., 0], y[0, ..., 0]
    ma, mb = (w * a).sum(), (w * b).sum()
    va, vb, cov = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum(), (w * (a - ma) * (b - mb)).sum()
    c1, c2 = 0.02**2, 0.06**2
    expected = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert scores.ssim(x, y, 2.0)[0] == pytest.approx(expected, rel=1e-9)
    assert scores.ssim(y, y, 2.0)[0] == pytest.approx(1)
    flat = np.full((1, 20, 20, 1), 0.5)
    assert scores.ssim(flat, -flat, 2.0)[0] == pytest.approx((-0.5 + c1) / (0.5 + c1))
    assert scores.lpips((11, 11, 1), (-1.0, 1.0)) is None  # too small for it


def test_learned_distance_where_it_is_installed(monkeypatch):
    """Colours in [-1, 1], black -1, channels first."""

    class Tensor(np.ndarray):
        def numpy(self):
            return np.asarray(self)

    class LPIPS:
        def __init__(self, net, verbose):
            assert net == "alex"

        def __call__(self, a, b):
            assert a.shape == (2, 3, 64, 64) and float(a.max()) == 1 and float(b.min()) == -1
            return np.abs(a - b).mean((1, 2, 3), keepdims=True)

    def offline(net, verbose):
        raise OSError("no route\nto host")

    made = types.SimpleNamespace(no_grad=contextlib.nullcontext, float32=np.float32,
                                 tensor=lambda a, dtype: np.asarray(a, dtype).view(Tensor))  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch", made)
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=LPIPS))
    image = np.full((2, 64, 64, 1), 1.0)
    np.testing.assert_allclose(scores.lpips((64, 64, 1), (0.0, 1.0))(image, 0 * image), 2.0)
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(DataError, match="LPIPS is left out, the package lpips is not installed"):
        scores.lpips((64, 64, 1), (0.0, 1.0))
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=offline))
    with pytest.raises(DataError, match="LPIPS is left out, its weights are not there: no route to host"):
        scores.lpips((64, 64, 1), (0.0, 1.0))


@pytest.mark.usefixtures("optimised")
def test_ddsmc_is_calibrated_and_dps_is_not(measured):
    ours = judged(restored(DDSMC(steps=40, sigma_max=10.0, eta=1.0), 32, measured[1]), *measured)
    assert ours["rank_p"] > 0.01
    assert ours["residual_q50"] == pytest.approx(1, abs=0.05)
    dps = judged(restored(DPS(steps=40, sigma_max=10.0), 1, measured[1]), *measured)
    assert dps["rank_p"] < 0.01 and dps["residual_q50"] < 0.5


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return genkit.run(genkit.config("inverse.digits_prior", "tiny"), out=tmp_path_factory.mktemp("runs") / "prior")


def test_the_prior(trained):
    assert trained.results["sw/samples"] > trained.results["sw/train"] > 0
    assert trained.results["loss/val"] < 0.7  # a network of zeros has 1
    assert {"samples", "training"} <= set(trained.figures)
    loaded = genkit.load(trained.folder)
    x = jnp.asarray(Digits().load().test[:2])
    np.testing.assert_allclose(loaded.model.denoiser(x, jnp.float32(0.01)), x, atol=0.05)  # hardly any noise
    assert loaded.sample(jax.random.key(0), 3).shape == (3, 8, 8, 1)


def test_posteriors_of_images_under_a_trained_prior(trained, tmp_path):
    config = genkit.config("inverse.ddsmc_images", "tiny", prior=trained.folder)
    run = genkit.run(config, out=tmp_path / "images")
    assert run.results["gain/inpaint_box/ddsmc"] == 0
    difference = run.results["psnr/inpaint_box/pigdm"] - run.results["psnr/inpaint_box/ddsmc"]
    assert (
        run.results["gain/inpaint_box/pigdm"] == pytest.approx(difference)
        and run.results["gain_se/inpaint_box/pigdm"] > 0
    )
    for name in ("psnr", "psnr_sample", "ssim", "covered", "rank_p", "spread_skill", "residual_q50", "seconds"):
        for method in ("ddsmc", "pigdm"):
            assert np.isfinite(run.results[f"{name}/inpaint_box/{method}"])
    assert 1 <= run.results["ess/inpaint_box/ddsmc"] <= 4 and "ess/inpaint_box/pigdm" not in run.results
    assert run.results["calls/inpaint_box/ddsmc"] == 5 * 4 and run.results["calls/inpaint_box/pigdm"] == 5
    assert {"pictures_inpaint_box", "ranks", "residuals", "pixels", "ess"} <= set(run.figures)
    assert (run.folder / "report.html").exists() and not (run.folder / "checkpoints").exists()  # nothing was trained


def test_counts_and_lost_phases(trained, tmp_path):
    """What is no linear measurement with normal noise, in the same study."""
    options = {
        "operators": ["phase_retrieval", "denoising"],
        "noise": "poisson",
        "noise.gain": 20.0,
        "noise.offset": 1.0,
    }
    options |= {"methods": ["dps"], "methods.0.steps": 4, "images": 2, "draws": 2}
    run = genkit.run(
        genkit.config("inverse.ddsmc_images", "tiny", options, prior=trained.folder), out=tmp_path / "counts"
    )
    for operator in ("phase_retrieval", "denoising"):
        assert np.isfinite(run.results[f"psnr/{operator}/dps"]) and run.results[f"residual_q50/{operator}/dps"] > 0
    assert "psnr/phase_retrieval/pinv" not in run.results and np.isfinite(run.results["psnr/denoising/pinv"])


@pytest.mark.parametrize(
    ("options", "says"),
    [({"images": 0}, "images=0"), ({"std": -1.0}, "std=-1.0"), ({"ema": 0.0}, "ema=0.0"),
     ({"operators": ["smear"]}, "unknown operator 'smear'"), ({"std": 0.2, "noise": "poisson"}, "std=0.2 and noise")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("inverse.ddsmc_images", "tiny", options)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"operators": ["inpaint"]}, "inpaint needs a mask"),
     ({"operators": ["inpaint_box", "jpeg"]}, "^jpeg: DDSMC needs singular values, which Function has not; take DPS"),
     ({"noise": "poisson"}, "^inpaint_box: DDSMC needs normal noise, the measurement has Poisson; take DPS")],
)  # fmt: skip
def test_what_cannot_be_restored_stops_before_training(tmp_path, options, says):
    config = genkit.config("inverse.ddsmc_images", "tiny", options)
    with pytest.raises(UsageError, match=says):
        genkit.run(config, out=tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "checkpoints").exists()


def test_the_preset_equal_has_equal_calls():
    config = genkit.config("inverse.ddsmc_images", "equal")
    process = PRIOR.process
    calls = {
        name: m.calls(process) * (config.particles if weighs(m, PRIOR) else 1) for name, m in config.named()[1].items()
    }
    assert set(calls) == {"ddsmc", "mcgdiff", "daps", "ddrm", "dps", "pigdm", "mmps"} and set(calls.values()) == {160}
    assert len(config.named()[0]) == 5


def test_names_of_methods():
    options = {"methods": ["ddsmc", "dps", "ddsmc"], "methods.2.recon": "ode"}
    assert list(genkit.config("inverse.ddsmc_images", "tiny", options).named()[1]) == [
        "ddsmc_tweedie", "dps", "ddsmc_ode"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="ddsmc among the methods more than once"):
        genkit.config("inverse.ddsmc_images", "tiny", {"methods": ["ddsmc", "ddsmc"]}).named()


def test_a_prior_of_other_images(trained, tmp_path):
    config = genkit.config(
        "inverse.ddsmc_images", "tiny", {"data.side": 6}, data=GaussianPatches(), prior=trained.folder
    )
    with pytest.raises(UsageError, match=r"arrays of shape \(8, 8, 1\); the data have \(6, 6, 1\)"):
        genkit.run(config, out=tmp_path / "other")


def test_several_components_are_completed():
    words = "run inverse.ddsmc_images --methods dps ddrm --methods.".split()
    assert {"--methods.0.scale", "--methods.1.eta_b"} <= set(candidates(words))
    assert "--methods.2.steps" not in candidates(words)


def test_a_measurement_of_a_user(tmp_path):
    """Draws of the posterior of a model for an own file: of the known mean; the same as by `posterior`."""
    model = Diffusion(PRIOR, (8, 8, 1), Heun())
    operator = SuperResolution(factor=2).build((8, 8, 1))
    y = np.asarray(operator(jnp.asarray(PATCHES.test[:1])))[0] + STD
    np.savez(tmp_path / "y.npz", y=y, std=STD)
    ask = {"operator": SuperResolution(factor=2), "observation": tmp_path / "y.npz"}
    method = DDSMC(steps=20, sigma_max=10.0, eta=1.0)
    found = model.sample(jax.random.key(0), 64, **ask, method=method, particles=8)
    mean, cov, _ = PRIOR.posterior(observe(operator, y, STD))
    error = (found["samples"].reshape(64, -1).mean(0) - mean) / np.sqrt(np.diag(cov) / 64)
    assert found["log_z"].shape == (64,) and np.sqrt(np.mean(error**2)) < 1.5
    alone = model.sample(jax.random.key(0), 2, **ask, method=DPS(steps=5, sigma_max=10.0))
    assert alone["samples"].shape == (2, 8, 8, 1) and "log_z" not in alone  # nothing is weighed
    np.save(tmp_path / "short.npy", y[:3])
    for options, says in (
        ({"observation": tmp_path / "short.npy", "std": 0.1}, r"short.npy: y has shape \(3,\); expected \(16,\)"),
        ({"observation": tmp_path / "short.npy"}, "short.npy has no std of the noise; give --std"),
        ({"observation": tmp_path / "none.npy"}, "cannot read .*none.npy: No such file"),
        ({"observation": None}, "needs both"),
        ({"sampler": Heun()}, "leave --sampler out"),
    ):
        with pytest.raises(UsageError, match=says):
            model.sample(jax.random.key(0), 1, **{**ask, **options})


def test_the_page_runs():
    """Its Python."""
    page = Path(genkit_inverse.__file__).parents[3] / "docs/domains/inverse.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names = {}
    exec(block, names)
    assert names["draws"].x.shape == (8, 1, 8, 8, 1)
