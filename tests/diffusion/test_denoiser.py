"""EDM preconditioning, the loss and its noise levels, processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import EDM, EDMDenoiser, LogNormal, LogUniform, Process, Rho, denoising_loss, rho_grid
from genkit.errors import UsageError


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
    s = jnp.array([0.5, 2.0])
    x0 = s * jax.random.normal(jax.random.key(1), (50_000, 2))
    loss = denoising_loss(jax.random.key(0), EDMDenoiser(zero, None, s), x0, None, noise)
    np.testing.assert_allclose(loss, 1, atol=0.015)


def test_loss_weights_and_mask():
    x0 = jax.random.normal(jax.random.key(1), (64, 5, 3))
    denoiser = EDMDenoiser(zero, None, jnp.ones(3))

    def loss(weight=None, mask=None, x0=x0):
        return denoising_loss(jax.random.key(0), denoiser, x0, None, Rho(), weight, mask)

    one = [loss(jnp.eye(3)[i]) for i in range(3)]
    np.testing.assert_allclose(loss(jnp.array([1.0, 0.1, 3.0])), one[0] + 0.1 * one[1] + 3 * one[2], rtol=1e-5)
    np.testing.assert_allclose(loss(mask=jnp.ones((5, 1))), loss(), rtol=1e-6)
    mask = jnp.array([1.0, 0, 0, 1, 1])[:, None]
    parts = [loss(mask=jnp.eye(5)[i][:, None]) for i in (0, 3, 4)]
    np.testing.assert_allclose(loss(mask=mask), sum(parts) / 3, rtol=1e-5)
    hidden = jnp.where(mask > 0, x0, jnp.nan)
    np.testing.assert_allclose(loss(mask=mask, x0=hidden), loss(mask=mask), rtol=1e-6)
    with pytest.raises(UsageError, match="weight of shape"):
        loss(jnp.ones(4))


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


def test_process():
    # Variance preserving with linear beta, b = (.1, 20): values worked out by hand in float64.
    def log_alpha(t):
        return -(0.1 * t + 9.95 * t**2) / 2

    vp = Process(lambda t: jnp.exp(log_alpha(t)), lambda t: jnp.sqrt(-jnp.expm1(2 * log_alpha(t))), 1e-5, 1.0)
    with jax.enable_x64(True):
        t = jnp.array([0.1, 0.5, 1.0])
        np.testing.assert_allclose(vp.alpha(t), [0.946721798820598, 0.2811828807967524, 0.006571586494929619])
        np.testing.assert_allclose(vp.logsnr(t), [2.156581185884866, -2.4551354688215743, -10.049956813318408])
        f, g2 = vp.drift_diffusion(t)
        np.testing.assert_allclose(f, -(0.1 + 19.9 * t) / 2, rtol=1e-10)
        np.testing.assert_allclose(g2, 0.1 + 19.9 * t, rtol=1e-10)
        f, g2 = EDM.drift_diffusion(t)
        np.testing.assert_allclose((f, g2), (0 * t, 2 * t))
        x0 = jnp.ones((3, 4))
        x, eps = vp.perturb(jax.random.key(0), x0, t)
        np.testing.assert_allclose(x, vp.alpha(t)[:, None] * x0 + vp.sigma(t)[:, None] * eps)
        # the score of a point mass at x0 points back along the noise
        np.testing.assert_allclose(vp.score(x, t, x0), -eps / vp.sigma(t)[:, None], rtol=1e-10)


@pytest.mark.parametrize("t, words", [(jnp.array([1, 2]), "int32"), (3, "int32"), (jnp.ones(3), "time has shape")])
def test_wrong_times(t, words):
    with pytest.raises(UsageError, match=words):
        EDMDenoiser(zero, None)(jnp.zeros((2, 1)), t)


@pytest.mark.parametrize("make", [lambda: Rho(1.0, 0.5), lambda: LogUniform(0.0, 1.0), lambda: LogNormal(std=0.0)])
def test_wrong_noise(make):
    with pytest.raises(UsageError):
        make()
