"""The quasi-geostrophic core against numpy's transforms, conservation laws and linear theory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit_weather.datasets.qg import model
from genkit_weather.datasets.qg.model import Flow

QUIET = {"noise": 0.0, "orography": 0.0, "hyperviscosity": 0.0, "diurnal": 0.0}


def state64(flow: Flow, seed: int, size: float) -> jax.Array:
    grid = jnp.asarray(np.random.default_rng(seed).standard_normal((3, flow.n, flow.n)) * size)
    return model.to_spectral(flow, grid) * np.exp(-flow.k2)


def march(flow: Flow, state: jax.Array, steps: int, dt: float) -> jax.Array:
    still = jnp.zeros((), state.real.dtype)
    step = partial(model.rk4, flow, day=still, year=still, dt=dt)
    return jax.jit(lambda s: jax.lax.fori_loop(0, steps, lambda _, s: step(s), s))(state)


def test_transforms_are_those_of_numpy_on_the_kept_modes():
    flow = Flow(n=16)
    with jax.enable_x64(True):
        grid = np.random.default_rng(0).standard_normal((2, 16, 16))
        spectral = model.to_spectral(flow, jnp.asarray(grid))
        assert np.allclose(spectral, np.fft.rfft2(grid)[:, flow.modes[0][:, None], flow.modes[1]], atol=1e-12)
        back = model.to_grid(flow, spectral)
        assert np.allclose(model.to_spectral(flow, back), spectral, atol=1e-12)
        full = np.zeros((2, 16, 9), complex)
        full[:, flow.modes[0][:, None], flow.modes[1]] = spectral
        assert np.allclose(back, np.fft.irfft2(full), atol=1e-12)


def test_inversion_gives_back_the_potential_vorticity():
    flow = Flow(n=16)
    with jax.enable_x64(True):
        state = state64(flow, 1, 1.0).at[:, 0, 0].set(0)
        psi = model.streamfunctions(flow, state)
        shear = flow.coupling * (psi[1] - psi[0])
        assert np.allclose(-flow.k2 * psi[0] + shear, state[0], atol=1e-12)
        assert np.allclose(-flow.k2 * psi[1] - shear, state[1], atol=1e-12)


def test_inviscid_flow_conserves_energy_and_enstrophy():
    flow = Flow(n=32, wind=0.0, beta=0.0, drag=0.0, **QUIET)
    with jax.enable_x64(True):
        state = state64(flow, 2, 3.0)
        speed = np.abs(model.to_grid(flow, 1j * flow.k * model.streamfunctions(flow, state))).max()
        assert speed > 0.5
        later = march(flow, state, 200, 0.02)

        def enstrophy(s: jax.Array) -> np.ndarray:
            return np.asarray((model.to_grid(flow, s[:2]) ** 2).mean((1, 2)))

        assert float(jnp.abs(later - state)[:2].max()) > 1.0  # it did move
        assert float(model.energy(flow, later)) == pytest.approx(float(model.energy(flow, state)), rel=1e-8)
        assert np.allclose(enstrophy(later), enstrophy(state), rtol=1e-7)


def test_energy_of_one_wave():
    flow, a = Flow(n=16), 0.7
    with jax.enable_x64(True):
        x = np.arange(16) * 2.0
        k = 2 * np.pi / 32 * 3
        psi = np.stack([a * np.cos(k * x) * np.ones((16, 1)), np.zeros((16, 16))])
        q = np.stack([-(k**2) * psi[0] - 0.5 * psi[0], 0.5 * psi[0], 0 * psi[0]])
        got = float(model.energy(flow, model.to_spectral(flow, jnp.asarray(q))))
        assert got == pytest.approx(0.5 * (k**2 * a**2 / 2 + 0.5 * a**2 / 2), rel=1e-12)


def test_linear_growth_rates():
    assert model.growth_rate(Flow(), 4) == pytest.approx(0.104729, abs=1e-6)
    assert model.growth_rate(Flow(), 5) == pytest.approx(0.039218, abs=1e-6)
    assert model.growth_rate(Flow(), 6) == pytest.approx(0.007492, abs=1e-6)
    assert max(model.growth_rate(Flow(), n) for n in (1, 2, 3)) < 0


def test_a_small_wave_grows_at_the_rate_of_linear_theory():
    flow = Flow(n=16, **QUIET)
    # The mean wind of phase year = 1/4 is U0 itself.
    with jax.enable_x64(True):
        grid = np.zeros((3, 16, 16))
        grid[0] = 1e-9 * np.cos(2 * np.pi * 4 * np.arange(16) / 16)
        quarter = jnp.asarray(0.25)
        rhs = partial(model.tendency, flow, day=jnp.asarray(0.0), year=quarter)

        def step(_: int, s: jax.Array) -> jax.Array:  # RK4 with the season held
            a = rhs(s)
            b = rhs(s + 0.02 * a)
            c = rhs(s + 0.02 * b)
            return s + 0.04 / 6 * (a + 2 * b + 2 * c + rhs(s + 0.04 * c))

        run = jax.jit(lambda s, n: jax.lax.fori_loop(0, n, step, s))
        early = run(model.to_spectral(flow, jnp.asarray(grid)), 2000)
        late = run(early, 500)
        rate = float(jnp.log(jnp.abs(late[0, 0, 4]) / jnp.abs(early[0, 0, 4])) / 20.0)
    assert rate == pytest.approx(model.growth_rate(flow, 4), abs=1e-4)


def test_hyperviscosity_is_exact_where_nothing_else_acts():
    flow = Flow(
        n=16, wind=0.0, beta=0.0, drag=0.0, relaxation=1e30, diffusivity=0.0, **{**QUIET, "hyperviscosity": 5.0}
    )
    with jax.enable_x64(True):
        state = jnp.zeros((3, *flow.k2.shape), complex).at[2].set(1.0)
        later = march(flow, state, 3, 0.1)
        assert np.allclose(later[2], np.exp(-flow.damping * 0.3), rtol=1e-12)


def test_noise_is_real_of_unit_variance_in_its_band():
    flow = Flow(n=32)
    like = jnp.zeros((3, *flow.k2.shape), jnp.complex64)
    kicks = model.kicks(flow, jax.random.key(0), 200, like)
    grid = np.asarray(model.to_grid(flow, kicks))
    assert grid.var() == pytest.approx(1.0, rel=0.03)
    assert abs(np.mean(grid[:, 0] * grid[:, 1])) < 0.02
    power = (np.abs(np.fft.rfft2(grid)) ** 2).mean((0, 1))
    ky, kx = np.fft.fftfreq(32, 1 / 32)[:, None], np.arange(17)
    radius = np.hypot(ky, kx)
    inside = (radius >= 4) & (radius <= 10)
    assert power[~inside].max() < 1e-6 * power[inside].min()
    assert power[inside].min() > 0.6 * power[inside].max()  # white: every mode alike, column k = 0 too
