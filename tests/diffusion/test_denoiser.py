"""EDM preconditioning, the loss and its noise levels, processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.bench.fidelity import LEAST
from genkit.diffusion import (
    DDPM,
    EDM,
    PROCESSES,
    VP,
    Cosine,
    EDMDenoiser,
    Flow,
    LogitNormal,
    LogNormal,
    LogUniform,
    MinSNR,
    NetworkDenoiser,
    Rescaled,
    Rho,
    SubVP,
    Uniform,
    denoising_loss,
    rho_grid,
    time_grid,
    to_range,
)
from genkit.errors import UsageError
from genkit.testing import gaussian_denoiser


def zero(params, x, c_noise, cond):
    return jnp.zeros_like(x)


def test_preconditioning_identities():
    with jax.enable_x64(True):
        sigma, s = jnp.geomspace(1e-3, 1e2, 40)[:, None], jnp.array([0.3, 0.5, 1.0])
        denoiser = EDMDenoiser(zero, None, s)
        c_skip, c_out, c_in, c_noise = denoiser.coefficients(sigma)
        np.testing.assert_allclose(denoiser.loss_weight(sigma) * c_out**2, 1, rtol=1e-13)
        np.testing.assert_allclose(c_in**2 * (s**2 + sigma**2), 1, rtol=1e-13)
        # variance of F's target (x0 - c_skip (x0 + n)) / c_out
        target = ((1 - c_skip) ** 2 * s**2 + c_skip**2 * sigma**2) / c_out**2
        np.testing.assert_allclose(target, 1, rtol=1e-12)
        np.testing.assert_allclose(c_noise, jnp.log(sigma) / 4)
        # F = 0 is the best linear denoiser
        x = jnp.ones((40, 3))
        np.testing.assert_allclose(denoiser(x, sigma[:, 0]), s**2 / (s**2 + sigma**2), rtol=1e-13)


def test_network_sees_scaled_input_and_float32_coefficients():
    def network(params, x, c_noise, cond):
        assert c_noise.shape == (2,) and c_noise.dtype == jnp.float32
        return (params * x + cond).astype(jnp.bfloat16)

    x, cond = jnp.array([[1.0, 2.0], [3.0, -1.0]]), jnp.array([[0.0], [1.0]])
    sigma, s = jnp.array([0.7, 3.0])[:, None], 0.5
    out = EDMDenoiser(network, jnp.float32(2.0), s)(x, sigma[:, 0], cond)
    total = sigma**2 + s**2
    expected = s**2 / total * x + sigma * s / jnp.sqrt(total) * (2 * x / jnp.sqrt(total) + cond)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, expected, rtol=1e-2)
    scalar = EDMDenoiser(network, jnp.float32(2.0), s)(x, 0.7, cond)
    np.testing.assert_allclose(scalar[0], out[0])


@pytest.mark.parametrize("noise", [LogNormal(), Rho(), LogUniform()])
def test_loss_of_a_zero_network_is_one(noise):
    s = np.array([0.5, 2.0])

    @jax.jit
    def loss():
        x0 = s * jax.random.normal(jax.random.key(1), (50_000, 2))
        return denoising_loss(jax.random.key(0), EDMDenoiser(zero, None, s), x0, None, noise)

    np.testing.assert_allclose(loss(), 1, atol=0.015)


def test_loss_weights_and_mask():
    x0 = jax.random.normal(jax.random.key(1), (64, 5, 3))
    denoiser = EDMDenoiser(zero, None, np.ones(3))

    @jax.jit
    def program(x0, weight, mask):
        return denoising_loss(jax.random.key(0), denoiser, x0, None, Rho(), weight, mask)

    def loss(weight=None, mask=None, x0=x0):
        return program(x0, weight, mask)

    one = [loss(np.eye(3)[i]) for i in range(3)]
    np.testing.assert_allclose(loss(np.array([1.0, 0.1, 3.0])), one[0] + 0.1 * one[1] + 3 * one[2], rtol=1e-5)
    np.testing.assert_allclose(loss(mask=np.ones((5, 1))), loss(), rtol=1e-6)
    mask = np.array([1.0, 0, 0, 1, 1])[:, None]
    parts = [loss(mask=np.eye(5)[i][:, None]) for i in (0, 3, 4)]
    np.testing.assert_allclose(loss(mask=mask), sum(parts) / 3, rtol=1e-5)
    np.testing.assert_allclose(loss(mask=0.1 * mask), loss(mask=mask), rtol=1e-5)
    hidden = np.where(mask > 0, x0, np.nan).astype(np.float32)
    np.testing.assert_allclose(loss(mask=mask, x0=hidden), loss(mask=mask), rtol=1e-6)
    with pytest.raises(UsageError, match="weight of shape"):
        loss(np.ones(4))


def test_quantiles():
    u = jnp.array([0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(Rho().quantile(u), [0.0431, 0.4889, 4.3525, 22.971, 68.617], rtol=1.2e-3)
    z = np.array([-1.6448536, -0.6744898, 0, 0.6744898, 1.6448536])
    np.testing.assert_allclose(jnp.log(LogNormal().quantile(u)), -1.2 + 1.2 * z, rtol=1e-5)
    np.testing.assert_allclose(LogUniform(0.01, 100.0).quantile(u), 10 ** (4 * np.asarray(u) - 2), rtol=1e-5)


@pytest.mark.parametrize("stratified", [True, False])
def test_draws_follow_the_quantiles(stratified):
    noise = LogNormal()
    log_sigma = np.log(noise.draw(jax.random.key(3), 20_000, stratified))
    np.testing.assert_allclose([log_sigma.mean(), log_sigma.std()], [-1.2, 1.2], atol=2e-3 if stratified else 0.03)


def test_grids():
    n20 = """80, 62.0813, 47.7190, 36.3043, 27.3149, 20.3051, 14.8974, 10.7743, 7.6708, 5.3674, 3.6842, 2.4754,
    1.6238, 1.0368, .64192, .38368, .22015, .12040, .06221, .03, 0"""
    n18 = """80, 57.5860, 40.7856, 28.3746, 19.3525, 12.9101, 8.4009, 5.3152, 3.2568, 1.9233, 1.0882, .58535,
    .29644, .13952, .05995, .02293, .00753, .002, 0"""
    for text, grid in ((n20, rho_grid(20, 0.03, 80.0, 7.0)), (n18, rho_grid(18, 0.002, 80.0, 7.0))):
        assert grid.dtype == np.float64
        np.testing.assert_allclose(grid, [float(v) for v in text.split(",")], rtol=1e-3, atol=5.1e-5)


EACH = pytest.mark.parametrize("process", [*(process() for process in PROCESSES), Cosine(0.008)], ids=str)


def test_values_of_variance_preserving_processes():
    t = np.array([0.1, 0.5, 1.0])
    alpha = [0.946721798820598, 0.2811828807967524, 0.006571586494929619]
    np.testing.assert_allclose(VP().alpha(t), alpha, rtol=1e-13)
    np.testing.assert_allclose(SubVP().alpha(t), alpha, rtol=1e-13)
    sigma = [0.3220525355247045, 0.9596542020680363, 0.9999784068923386]
    np.testing.assert_allclose(VP().sigma(t), sigma, rtol=1e-13)
    np.testing.assert_allclose(SubVP().sigma(t), [0.10371783563789105, 0.9209361875468394, 0.9999568142509396])
    logsnr = [2.156581185884866, -2.4551354688215743, -10.049956813318408]
    np.testing.assert_allclose(VP().logsnr(t), logsnr, rtol=1e-12)
    np.testing.assert_allclose(VP().sigma(1e-5), 0.00100049712593523833, rtol=1e-14)
    # float32 keeps its digits near t = 0, where 1 - exp(-B) would lose four
    np.testing.assert_allclose(VP().sigma(jnp.float32(1e-5)), 0.0010004971259352383, rtol=3e-7)
    np.testing.assert_allclose(DDPM().abar()[-1], 4.035830e-5, rtol=1e-6)
    np.testing.assert_allclose(DDPM().alpha(np.arange(1000.0)) ** 2, DDPM().abar(), rtol=1e-12)
    cosine = Cosine(0.008)
    f = np.cos((t[:2] + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(cosine.alpha(t[:2]) ** 2, f, rtol=1e-13)
    np.testing.assert_allclose(cosine.alpha(t[:2]) ** 2 + cosine.sigma(t[:2]) ** 2, 1, rtol=1e-13)
    for end in (Cosine().t_min, Cosine().t_max):
        assert abs(Cosine().logsnr(end)) == pytest.approx(20)


@EACH
def test_time_is_the_inverse_of_the_level(process):
    t = np.linspace(process.t_min, process.t_max, 41)
    s = process.ratio(t)
    assert (np.diff(s) > 0).all() and np.isfinite(s).all() and s[0] >= 0 and s.dtype == np.float64
    np.testing.assert_allclose(process.sigma(t) / process.alpha(t), s, rtol=1e-12)
    np.testing.assert_allclose(process.time(s), t, rtol=1e-9, atol=1e-12)
    with jax.enable_x64(True):
        np.testing.assert_allclose(process.time(jnp.asarray(s)), t, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(process.alpha(jnp.asarray(t)), process.alpha(t), rtol=1e-13)


@EACH
def test_drift_and_diffusion_are_those_of_the_path(process):
    """Means and variances of the SDE: alpha' = f alpha, (sigma^2)' = 2 f sigma^2 + g^2."""
    t = np.linspace(process.t_min, process.t_max, 9)[1:-1] + 0.3 * isinstance(process, DDPM)
    h = 1e-5 * (process.t_max - process.t_min) / 80
    with jax.enable_x64(True):
        f, g2 = (np.asarray(a) for a in process.drift_diffusion(jnp.asarray(t)))
    slope = (process.alpha(t + h) - process.alpha(t - h)) / (2 * h)
    np.testing.assert_allclose(f * process.alpha(t), slope, rtol=1e-5, atol=1e-7)
    slope = (process.sigma(t + h) ** 2 - process.sigma(t - h) ** 2) / (2 * h)
    np.testing.assert_allclose(2 * f * process.sigma(t) ** 2 + g2, slope, rtol=1e-5, atol=1e-7)
    assert (g2 > 0).all()


def test_time_of_small_levels_in_float32():
    for process in (VP(), SubVP(), Cosine(), Cosine(0.008), Flow()):
        s = np.array([5e-4, 2e-3, 0.1])
        np.testing.assert_allclose(process.time(jnp.asarray(s, jnp.float32)), process.time(s), rtol=5e-4)


def test_drift_of_the_linear_schedule():
    with jax.enable_x64(True):
        t = jnp.array([0.1, 0.5, 1.0])
        f, g2 = VP().drift_diffusion(t)
        np.testing.assert_allclose(f, -(0.1 + 19.9 * t) / 2, rtol=1e-10)
        np.testing.assert_allclose(g2, 0.1 + 19.9 * t, rtol=1e-10)
        f, g2 = EDM().drift_diffusion(t)
        np.testing.assert_allclose((f, g2), (0 * t, 2 * t))


@EACH
def test_perturbed_data(process):
    x0, key = jnp.ones((3, 4)), jax.random.key(0)
    t = jnp.linspace(process.t_min, process.t_max, 5)[1:4]
    x, eps = process.perturb(key, x0, t)
    np.testing.assert_allclose(x, process.alpha(t)[:, None] * x0 + process.sigma(t)[:, None] * eps, rtol=1e-6)
    # the score of a point mass at x0 points back along the noise
    np.testing.assert_allclose(process.score(x, t, x0), -eps / process.sigma(t)[:, None], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("predicts", ["eps", "x0", "v", "flow", "score"])
@EACH
def test_what_networks_predict(process, predicts):
    """A network that returns the target makes the data, and its weighted loss is that of the target."""
    t = jnp.linspace(process.t_min, process.t_max, 5)[1:4]
    with jax.enable_x64(True):
        t = t.astype(float)
        x0, eps = jax.random.normal(jax.random.key(1), (2, 3, 4))
        alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
        x = alpha * x0 + sigma * eps
        target = {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0, "flow": eps - x0, "score": -eps / sigma}[
            predicts
        ]
        wrong = jnp.array([[0.1], [0.2], [0.3]])

        def network(params, x, t, cond):
            return target + params

        right = NetworkDenoiser(network, 0.0, process, predicts)
        np.testing.assert_allclose(right(x, t), x0, rtol=1e-9, atol=1e-9)
        off = NetworkDenoiser(network, wrong, process, predicts)
        scale = sigma**2 if predicts == "score" else 1.0
        error = off.loss_weight(t)[:, None] * (off(x, t) - x0) ** 2
        np.testing.assert_allclose(error, jnp.broadcast_to(scale * wrong**2, (3, 4)), rtol=1e-7)


def test_unknown_parameterisation():
    with pytest.raises(UsageError, match="unknown parameterisation 'epsilon'; known: eps, x0, v, flow, score"):
        NetworkDenoiser(zero, None, VP(), "epsilon")


@EACH
def test_preconditioning_serves_every_process(process):
    """F = 0 is the best linear denoiser of data with the stated std, which is exact on Gaussian data."""
    t = jnp.linspace(process.t_min, process.t_max, 5)[1:4]
    x = jax.random.normal(jax.random.key(2), (3, 4))
    exact = gaussian_denoiser(0.0, 0.7, process=process)(x, t)
    np.testing.assert_allclose(EDMDenoiser(zero, None, 0.7, process)(x, t), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("process, predicts, s, expected", LEAST, ids=lambda v: str(v)[:12])
def test_least_losses(process, predicts, s, expected):
    """The loss itself, of the exact denoiser with the weight of its network."""
    weigh = NetworkDenoiser(zero, None, process, predicts).loss_weight
    x0 = s * jax.random.normal(jax.random.key(0), (100_000, 1))
    exact = gaussian_denoiser(0.0, s, process=process)
    low, high = 1e-4, 1 - 1e-4
    found = denoising_loss(
        jax.random.key(1), exact, x0, None, Uniform(low, high), level_weight=lambda process, t: weigh(t)
    )
    np.testing.assert_allclose(found, float(expected), rtol=0.01)


def test_edm_loss_of_the_best_network_is_one_at_every_level():
    x0 = 0.5 * jax.random.normal(jax.random.key(0), (100_000, 1))
    for process in (EDM(), VP(), Flow()):
        denoiser = EDMDenoiser(zero, None, 0.5, process)
        for level in (0.05, 1.0, 20.0):
            loss = denoising_loss(jax.random.key(1), denoiser, x0, None, LogUniform(level, level * 1.0001))
            np.testing.assert_allclose(loss, 1, rtol=0.015)


def test_min_snr():
    t = jnp.array([0.01, 0.5])
    snr = (VP().alpha(t) / VP().sigma(t)) ** 2
    np.testing.assert_allclose(MinSNR()(VP(), t), [5.0, snr[1]], rtol=1e-5)
    with pytest.raises(UsageError, match="has no loss_weight"):
        denoising_loss(jax.random.key(0), gaussian_denoiser(), jnp.zeros((2, 1)), None, Rho())


@EACH
def test_rescaled_data(process):
    """The denoiser of 2 x + 3 from that of x is the denoiser of the scaled Gaussian."""
    t = jnp.linspace(process.t_min, process.t_max, 5)[2:4]
    with jax.enable_x64(True):
        t, x = t.astype(float), jax.random.normal(jax.random.key(2), (2, 4))
        made = Rescaled(gaussian_denoiser(0.3, 0.5, process=process), 2.0, 3.0)
        np.testing.assert_allclose(made(x, t), gaussian_denoiser(3.6, 1.0, process=process)(x, t), rtol=1e-6)
        np.testing.assert_allclose(made(x, t[0])[0], made(x, t)[0], rtol=1e-12)


def test_data_on_another_scale():
    denoiser = EDMDenoiser(zero, None, 0.5, range=(-1.0, 1.0))
    made = to_range(denoiser, 0.0, 255.0)
    assert made.range == (0.0, 255.0) and made.scale == 127.5
    x = jnp.array([[10.0, 200.0]])
    np.testing.assert_allclose(made(x, 60.0), 127.5 * denoiser(x / 127.5 - 1, 60 / 127.5) + 127.5, rtol=1e-6)
    with pytest.raises(UsageError, match="GaussianDenoiser does not tell the range"):
        to_range(gaussian_denoiser(), 0.0, 1.0)


def test_times_of_training():
    key = jax.random.key(3)
    np.testing.assert_allclose(Uniform().times(key, 1000, VP()).mean(), 0.5, atol=2e-3)
    assert Uniform().times(key, 1000, VP()).min() >= VP().t_min
    steps = Uniform().times(key, 1000, DDPM())  # shares of the range
    np.testing.assert_allclose([steps.min(), steps.max()], [0, 999], atol=1.5)
    z = jax.scipy.special.logit(LogitNormal(0.3, 0.8).times(key, 20_000, Flow()))
    np.testing.assert_allclose([z.mean(), z.std()], [0.3, 0.8], atol=0.01)
    levels = VP().ratio(LogNormal().times(key, 20_000, VP()))  # levels, whatever the process
    np.testing.assert_allclose([np.log(levels).mean(), np.log(levels).std()], [-1.2, 1.2], atol=0.01)


@pytest.mark.parametrize("kind", ["rho", "logsnr", "time", "quadratic", "log"])
@EACH
def test_every_grid_of_every_process(process, kind):
    t = time_grid(process, kind, 20, 0.05, 30.0)
    assert t.dtype == np.float64 and t.shape == (20,) and (np.diff(t) < 0).all()
    np.testing.assert_allclose(process.ratio(t[[0, -1]]), [30.0, 0.05], rtol=1e-9)
    spaced = {"rho": process.ratio(t) ** (1 / 7), "logsnr": np.log(process.ratio(t)), "time": t,
              "quadratic": np.sqrt(t), "log": np.log(t)}[kind]  # fmt: skip
    np.testing.assert_allclose(np.diff(spaced), np.diff(spaced)[0], rtol=1e-6)
    whole = time_grid(process, "time", 5, None, None)
    np.testing.assert_allclose(whole[[0, -1]], [process.t_max, process.t_min], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("t, words", [(jnp.array([1, 2]), "int32"), (3, "int32"), (jnp.ones(3), "time has shape")])
def test_wrong_times(t, words):
    with pytest.raises(UsageError, match=words):
        EDMDenoiser(zero, None)(jnp.zeros((2, 1)), t)


@pytest.mark.parametrize("make", [lambda: Rho(1.0, 0.5), lambda: LogUniform(0.0, 1.0), lambda: LogNormal(std=0.0)])
def test_wrong_noise(make):
    with pytest.raises(UsageError):
        make()
