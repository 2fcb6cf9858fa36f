"""Losses and ensembles of Diffusion-LAM with denoisers in closed form."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit.nn as gnn
from genkit.diffusion import EDMDenoiser, Heun, Rho
from genkit.errors import UsageError
from genkit.parallel import make_mesh
from genkit.tree import register_dataclass
from genkit_weather import lam
from genkit_weather.area.frame import interior_of
from genkit_weather.cycling import Forecasts
from genkit_weather.data import Series, WeatherData
from genkit_weather.models import Area, WeatherModel
from genkit_weather.networks.graph_denoiser import GraphDenoiser
from genkit_weather.networks.unet import LamUNet

V, FRAME = 2, (2, 2)


def dataset():
    rng = np.random.default_rng(0)
    state = (rng.standard_normal((40, 8, 9, V)) * [1, 5] + [3, 280]).astype(np.float32)
    forcing = np.arange(120, dtype=np.float32).reshape(-1, 1, 1, 3)
    series = (Series(state, forcing, np.datetime64("2020-03-01T00", "s") + np.arange(40) * np.timedelta64(6, "h")),)
    static = rng.standard_normal((8, 9, 3)).astype(np.float32)
    return WeatherData(
        series, series, series, static, FRAME, ("a", "b"), ("K", "K"), ("a", "b"), ("f", "g", "h"), ("x", "y", "z"), 6.0
    )


DATA = dataset()


@register_dataclass
@dataclass(frozen=True)
class Gaussian:
    """Exact denoiser of N(mu, s^2), whatever the conditioning."""

    mu: float
    s: float
    unused: None = field(default=None)

    def __call__(self, x, t, cond=None):
        return (self.s**2 * x + t**2 * self.mu) / (self.s**2 + t**2)


@pytest.fixture(scope="module")
def domain():
    return lam.domain_of(DATA, lam.Formulation())


def collect(key, model, sampler, *args, **options):
    pieces = lam.rollout(key, lam.Sampled.by(sampler, model), *args, **options)
    return np.concatenate([states for _, states in pieces], 1)


def test_a_certain_forecast_follows_the_recursion(domain):
    model = lam.Forecaster(Gaussian(0.7, 0.0), domain)
    outlook = lam.Outlook.build(domain, DATA.test[0], [3, 11], 4)
    out = collect(jax.random.key(0), model, Heun(5), outlook, 2)
    assert out.shape == (2, 4, 2, *interior_of(DATA.static, FRAME).shape[:2], V)
    before, prev = outlook.before, outlook.prev
    for lead in range(4):
        inputs = lam.Inputs(prev, before, outlook.frame[:, lead : lead + 3], outlook.forcing[:, lead])
        before, prev = prev, lam.advance(domain, inputs, jnp.full(prev.shape, 0.7))
        for member in range(2):
            np.testing.assert_allclose(out[:, lead, member], prev * domain.std + domain.mean, rtol=1e-4, atol=1e-3)


def test_spread_of_persistence_grows_like_a_random_walk():
    domain = lam.domain_of(DATA, lam.Formulation(guess="persistence", fill=False))
    outlook = lam.Outlook.build(domain, DATA.test[0], [5], 3)
    out = collect(jax.random.key(0), lam.Forecaster(Gaussian(0.0, 0.5), domain), Heun(30), outlook, 64)
    expected = 0.5 * domain.residual_std * domain.std * np.sqrt([[1], [2], [3]])
    np.testing.assert_allclose(out[0].std(1).mean((1, 2)), expected, rtol=0.06)


def test_numbers_do_not_depend_on_chunks_blocks_members_or_other_starts(domain):
    model, key, sampler = lam.Forecaster(Gaussian(0.1, 0.5), domain), jax.random.key(3), Heun(4, churn=1.0)
    outlook = lam.Outlook.build(domain, DATA.test[0], [3, 11, 7], 4)
    whole = collect(key, model, sampler, outlook, 3)
    np.testing.assert_allclose(collect(key, model, sampler, outlook, 3, chunk=4, blocks=3), whole, rtol=1e-4)
    np.testing.assert_allclose(collect(key, model, sampler, outlook, 2, chunk=2), whole[:, :, :2], rtol=1e-4)
    single = lam.Outlook.build(domain, DATA.test[0], [11], 4)
    np.testing.assert_allclose(collect(key, model, sampler, single, 3)[0], whole[1], rtol=1e-4)
    mesh = make_mesh(1)
    np.testing.assert_allclose(collect(key, model, sampler, single, 3, mesh=mesh)[0], whole[1], rtol=1e-4)
    assert not np.allclose(collect(jax.random.key(4), model, sampler, single, 3)[0], whole[1])


def test_devices_that_three_members_leave_over_share_their_rows(domain, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    monkeypatch.setattr("genkit.parallel.mesh_for", lambda count: f"rows, {count} members")
    monkeypatch.setattr("genkit_weather.models.trained.rollout", lambda *args, mesh, **rest: meshes.append(mesh) or ())
    meshes, outlook = [], lam.Outlook.build(domain, DATA.test[0], [5], 3)
    for network in (LamUNet(), GraphDenoiser()):
        net = gnn.Net(network, ())
        drawn = lam.Forecaster(EDMDenoiser(net, None, 1.0), domain)
        for forecaster, sampler in ((lam.Generator(net, None, domain, 4), None), (drawn, Heun(4))):
            list(WeatherModel(Area.of(DATA), forecaster, sampler).forecast(jax.random.key(0), outlook, 3))
    assert meshes == ["rows, 3 members"] * 4


@register_dataclass
@dataclass(frozen=True)
class Guess:
    """Makes the first guess."""

    domain: Any

    def step(self, key, inputs, slots):
        return lam.first_guess(self.domain, inputs)


@pytest.fixture(scope="module")
def relaxed():
    return lam.domain_of(DATA, lam.Formulation("relaxed"))


def test_the_future_interior_is_never_seen(domain, relaxed):
    state = DATA.test[0].state.copy()
    interior_of(state, FRAME)[6:] = np.nan
    for known in (domain, relaxed):
        one, two = (replace(DATA.test[0], state=s) for s in (DATA.test[0].state, state))
        outlooks = [lam.Outlook.build(known, series, [5], 3) for series in (one, two)]
        for a, b in zip(*map(jax.tree.leaves, outlooks), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_cycle_of_analyses_sees_no_state_of_its_series(relaxed):
    """What it starts from is handed over; the truth of the day before is in the series, and nobody knows it."""
    model, same = WeatherModel(Area.of(DATA), Guess(relaxed)), SimpleNamespace(physical=np.array, standard=np.array)
    state = DATA.test[0].state.copy()
    interior_of(state, FRAME)[:] = np.nan
    before, prev = interior_of(DATA.test[0].state[8:10, None], FRAME)
    series = (DATA.test[0], replace(DATA.test[0], state=state))
    one, two = (Forecasts(model, same, s, 0)(9, before, prev, 5) for s in series)  # type: ignore[arg-type]
    np.testing.assert_array_equal(one, two)
    assert np.isfinite(one).all()


def test_leads_beyond_the_series_are_refused(domain):
    with pytest.raises(UsageError, match="do not fit"):
        lam.Outlook.build(domain, DATA.test[0], [38], 4)
    with pytest.raises(UsageError, match="do not fit"):
        lam.Outlook.build(domain, DATA.test[0], [0], 4)


def zero_network(params, x, c_noise, cond):
    return 0 * x * params


def test_loss_is_one_for_a_network_that_says_nothing(domain):
    batch = lam.Examples(DATA.train, domain).take(np.arange(38))
    denoiser = EDMDenoiser(zero_network, jnp.ones(()), 1.0)
    loss = jax.jit(lambda key: lam.diffusion_loss(key, domain, denoiser, batch, Rho()))
    losses = jax.lax.map(loss, jax.random.split(jax.random.key(0), 20))
    assert float(losses.mean()) == pytest.approx(1, rel=0.02)
    mean = lam.MeanModel(zero_network, jnp.ones(()), jnp.ones(V))
    assert float(lam.mean_loss(jax.random.key(0), domain, mean, batch)) == pytest.approx(1, rel=1e-3)
    np.testing.assert_allclose(lam.mean_error(domain, mean, batch), 1, rtol=1e-3)


def test_guess_error_is_the_conditional_variance(domain):
    batch = lam.Examples(DATA.train, domain).take(np.arange(38))
    error = lam.guess_error(jax.random.key(0), domain, Gaussian(0.3, 0.1), batch)
    np.testing.assert_allclose(error, 1 + 0.3**2, rtol=1e-3)


def test_augmentation_has_the_stated_level_and_leaves_the_frame(domain):
    batch = lam.Examples(DATA.train, domain).take(np.arange(38))
    how = lam.Augmentation(0.5, 0.0999, 0.1)
    noisy = lam.augment(jax.random.key(0), domain, batch.inputs, how)
    shift = np.asarray((noisy.prev - batch.inputs.prev) / domain.diff_std)
    hit = shift.std((1, 2, 3)) > 0
    assert 0.2 < hit.mean() < 0.8
    assert shift[hit].std() == pytest.approx(0.1, rel=0.05)
    np.testing.assert_array_equal(noisy.frame, batch.inputs.frame)
    assert lam.augment(jax.random.key(0), domain, batch.inputs, lam.Augmentation()) is batch.inputs


def test_two_stages_refine_the_mean(domain):
    batch = lam.Examples(DATA.train, domain).take(np.arange(4))
    mean = lam.MeanModel(lambda params, x, c, cond: x + params, jnp.float32(0.4), jnp.array([0.5, 0.25]))
    cond, y = lam.denoising_problem(domain, mean, batch.inputs, batch.truth)
    plain, target = lam.denoising_problem(domain, None, batch.inputs, batch.truth)
    np.testing.assert_allclose(y, (target - 0.4) / jnp.array([0.5, 0.25]), rtol=1e-5)
    np.testing.assert_allclose(cond.interior[..., -V:], 0.4)
    assert cond.interior.shape[-1] == plain.interior.shape[-1] + V
    model = lam.Forecaster(Gaussian(0.2, 0.0), domain, mean)
    out = lam.Sampled.by(Heun(4), model).step(jax.random.key(0), batch.inputs, jnp.arange(4))
    expected = lam.advance(domain, batch.inputs, 0.4 + 0.2 * jnp.array([0.5, 0.25]) + jnp.zeros_like(batch.truth))
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_the_network_learns_a_constant_residual(domain):
    """Gradients reach the network through the loss: a few steps lower it."""
    examples = lam.Examples(DATA.train, domain)
    batch = examples.take(np.arange(8))
    batch = replace(batch, truth=np.asarray(lam.advance(domain, batch.inputs, jnp.full(batch.truth.shape, 2.0))))
    sizes = domain.formulation.sizes(DATA.layout)
    sides = {"embedder": 4, "embedding": 8, "bottleneck_attention": False}
    small = LamUNet(base=4, multipliers=(1,), blocks=1, dropout=0.1, **sides)
    network, params = gnn.functional(small.build(nnx.Rngs(0), sizes))

    @jax.jit
    def step(params, key):
        loss = lambda p: lam.diffusion_loss(key, domain, EDMDenoiser(network, p, 1.0), batch, Rho())  # noqa: E731
        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.02 * g, params, gradient), value

    losses = []
    for i in range(60):
        params, value = step(params, jax.random.key(i))
        losses.append(float(value))
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])


@pytest.mark.parametrize("length", [1, 3])
def test_smooth_noise_has_unit_variance_and_its_length(length):
    x = np.asarray(lam.smooth_noise(jax.random.key(0), (4000, 5, 8, 2), length))
    np.testing.assert_allclose((x**2).mean(0), 1, atol=0.15)
    neighbour = (x[:, :, 3] * x[:, :, 4]).mean()
    # between nodes at 3 and 6: weights (1, 0) and (2/3, 1/3) / sqrt(5) * 3
    assert neighbour == pytest.approx(0.0 if length == 1 else 2 / np.sqrt(5), abs=0.03)
    assert abs((x[:, :, 0] * x[:, :, 7]).mean()) < 0.03
