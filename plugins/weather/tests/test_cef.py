"""Continuous ensemble forecasts: exact on a process whose conditional law is known, under all noises."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import Heun
from genkit.errors import UsageError
from genkit.nn import Net, parameter_count
from genkit.parallel import make_mesh
from genkit.tree import register_dataclass
from genkit_weather import lam
from genkit_weather.data import Layout
from genkit_weather.datasets.ou import OU
from genkit_weather.models.area import Area
from genkit_weather.models.cef import CEF, PUBLISHED, ContinuousModel, calls
from genkit_weather.networks.conditioning import Conditioning, Sizes

DATA = OU(kappa=0.8, train=60, val=12, test=40, cells=6).load()
TIMES = lam.Times(lag=1, delta=1, block=4)


@register_dataclass
@dataclass(frozen=True)
class Exact:
    """E[x(t + lead) | x_sigma, x(t)] of the stationary process of unit variance, with formulation.guess=none."""

    domain: lam.Domain
    kappa: float

    def __call__(self, x, sigma, cond):
        days = cond.lead[:, None, None, None] * 10  # leads are told in units of 240 h
        decay, d = jnp.exp(-self.kappa * days), self.domain
        table = lambda a: d.of_lead(a, jnp.round(cond.lead * 40).astype(int))  # noqa: E731
        now = cond.interior[..., :1] * d.std + d.mean  # physical units
        scale = d.std * table(d.residual_std)
        mu = (decay * now - d.mean) / d.std - table(d.residual_mean)
        mu, variance = mu / table(d.residual_std), (1 - decay**2) / scale**2
        return (variance * x + sigma**2 * mu) / (variance + sigma**2)


@pytest.fixture(scope="module")
def model():
    """(coupling, **changes) -> a model of the exact denoiser."""
    formulation = lam.Formulation("none", fill=False, tendencies=False)
    domain = lam.domain_of(DATA, formulation, times=TIMES)

    def make(coupling="shared", steps=40, **changes):
        forecaster = lam.Forecaster(Exact(domain, 0.8), domain)
        return ContinuousModel(Area.of(DATA), forecaster, Heun(steps), coupling=coupling, **changes)

    return make


def drawn(model, starts, leads, members, **options):
    outlook = model.outlook(DATA, DATA.test[0], starts, leads)
    pieces = lam.rollout(jax.random.key(1), model.stepper, outlook, members, **options)
    return np.concatenate([states for _, states in pieces], 1)[..., 0]


@pytest.mark.parametrize("coupling", ["shared", "ou", "independent"])
def test_marginals_and_correlations_over_leads_are_exact(model, coupling):
    theta, kappa, members = 3.0, 0.8, 600
    x = drawn(model(coupling, theta=theta), [5], 4, members)[0]  # (lead, member, y, x)
    days = 0.25 * np.arange(1, 5)
    decay, now = np.exp(-kappa * days), DATA.test[0].state[5, ..., 0]
    np.testing.assert_allclose(x.mean(1), decay[:, None, None] * now, atol=5 / np.sqrt(members))
    std = np.sqrt(1 - decay**2)
    away = (x - decay[:, None, None, None] * now) / std[:, None, None, None]
    np.testing.assert_allclose(away.std((1, 2, 3)), 1, atol=0.02)  # 21600 draws, and 0.7 % of the sampler
    found = np.corrcoef(away.reshape(4, -1))
    gap = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    expected = {"shared": np.ones((4, 4)), "ou": np.exp(-theta / 4) ** gap, "independent": np.eye(4)}[coupling]
    np.testing.assert_allclose(found, expected, atol=0.025)


def test_a_members_step_has_the_size_of_its_noise(model):
    """E|x(k+1) - x(k)| from the joint normal law of one noise: the differences of m_k + s_k g."""
    kappa, start = 0.8, 5
    x = drawn(model(), [start], 4, 600)[0]
    decay = np.exp(-kappa * 0.25 * np.arange(0, 5))
    m = decay[:, None, None] * DATA.test[0].state[start, ..., 0]
    mean, std = np.diff(m, axis=0), np.diff(np.sqrt(1 - decay**2))[:, None, None]
    phi = lambda a: np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    from scipy.stats import norm

    expected = std * 2 * phi(mean / std) + mean * (2 * norm.cdf(mean / std) - 1)
    steps = np.abs(np.diff(np.concatenate([np.broadcast_to(m[:1, None], x[:1].shape), x]), axis=0)).mean(1)
    np.testing.assert_allclose(steps.mean((1, 2)), expected.mean((1, 2)), rtol=0.02)


def test_noise_of_leads_has_rows_of_unit_norm():
    for coupling in ("shared", "ou", "independent"):
        weights = lam.mixing(coupling, 5, 0.7)
        np.testing.assert_allclose((weights**2).sum(1), 1)
    np.testing.assert_array_equal(lam.mixing("shared", 5, 0.7) @ np.arange(1, 6), np.ones(5))
    np.testing.assert_array_equal(lam.mixing("independent", 5, 0.7), np.eye(5))
    products = lam.mixing("ou", 5, 0.7)
    gap = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    np.testing.assert_allclose(products @ products.T, np.exp(-0.7 * gap), rtol=1e-12)


def test_members_do_not_depend_on_chunks_of_leads_members_and_starts(model):
    whole = drawn(model("ou", steps=4), [5, 9], 8, 3)
    for options in ({"lead_chunk": 2}, {"lead_chunk": 1, "chunk": 2}, {"blocks": 1}, {"mesh": make_mesh(1)}):
        np.testing.assert_allclose(drawn(model("ou", steps=4), [5, 9], 8, 3, **options), whole, atol=2e-5)
    np.testing.assert_allclose(drawn(model("ou", steps=4), [9], 8, 2), whole[1:, :, :2], atol=2e-5)
    assert np.abs(whole[:, :4] - whole[:, 4:]).max() > 0.1  # a block has noise of its own


def test_fewer_leads_than_trained_are_the_same_leads(model):
    every, some = drawn(model(steps=4), [5], 4, 2), drawn(model(steps=4, delta=12.0), [5], 4, 2)
    np.testing.assert_allclose(some, every[:, 1::2], atol=2e-5)
    assert calls(model(steps=20)) == 39 and calls(model(steps=20, T_it=12.0)) == 78


def test_a_longer_forecast_goes_on_from_states_lag_apart():
    """The next block starts from the end of the last one and the state `lag` before it."""
    seen = []

    @register_dataclass
    @dataclass(frozen=True)
    class Counting:
        domain: lam.Domain

        def step(self, key, inputs, slots):
            jax.debug.callback(lambda *a: seen.append(tuple(float(v) for v in a)), inputs.before[0, 0, 0, 0],
                               inputs.prev[0, 0, 0, 0])  # fmt: skip
            lead = 0 * inputs.prev + jnp.reshape(1.0 if inputs.lead is None else inputs.lead, (-1, 1, 1, 1))
            return inputs.prev + lead

    for times, pairs in [
        (lam.Times(1, 1, 4), [(-1, 0), (3, 4)]),
        (lam.Times(2, 2, 4), [(-2, 0), (2, 4)]),
        (lam.Times(4, 4, 4), [(-4, 0), (0, 4)]),
    ]:
        seen.clear()
        domain = lam.domain_of(DATA, lam.Formulation("persistence", fill=False), times=times)
        domain = replace(domain, mean=0 * domain.mean, std=0 * domain.std + 1)
        ramp = np.arange(40.0)[:, None, None, None] + 0 * DATA.test[0].state[:40]
        outlook = lam.Outlook.build(domain, replace(DATA.test[0], state=ramp - 5), [5], 8)
        (_, out), *_ = lam.rollout(jax.random.key(0), Counting(domain), outlook, 1)
        if len(times.leads) > 1:
            np.testing.assert_allclose(out[0, :, 0, 0, 0, 0], times.outputs(8))
            assert sorted(set(seen)) == pairs
    with pytest.raises(UsageError, match="state 3 steps earlier is not known"):
        lam.Times(3, 2, 4).outputs(8)


def test_what_makes_no_sense_is_refused(model):
    for change, message in [
        ({"delta": 7.0}, "delta=7 h does not divide T_it=24 h"),
        ({"sampler": Heun(churn=2.0)}, "needs a sampler without noise"),
        ({"theta": 0.0}, "theta=0.0 must be positive"),
    ]:
        with pytest.raises(UsageError, match=message):
            CEF(**change)
    assert CEF(sampler=Heun(churn=2.0), coupling="independent").coupling == "independent"
    with pytest.raises(UsageError, match="was not trained for 30, 36, 42, 48 h; it knows the leads 6, 12, 18, 24 h"):
        drawn(model(T_it=48.0), [5], 8, 1)
    with pytest.raises(UsageError, match="delta=4 h is no multiple of the 6 h"):
        CEF(delta=4.0).times(6.0)
    with pytest.raises(UsageError, match="no whole number of blocks of 4"):
        drawn(model(), [5], 6, 1)


def test_the_published_network():
    sizes = Sizes((32, 64), (0, 0), interior=12, boundary=0, scalars=0, outputs=5, lead=True)
    recipe = CEF.preset("paper")
    layout = Layout((32, 64), (0, 0), variables=5, forcings=0, statics=2, uniform=True)
    assert recipe.sizes_of(layout) == replace(sizes, boundary=17)
    net = Net(PUBLISHED, (sizes,))
    params = net.shapes()
    assert parameter_count(params) == 3_556_741
    x = jax.ShapeDtypeStruct((2, 32, 64, 5), jnp.float32)
    item = jax.ShapeDtypeStruct((2,), jnp.float32)
    cond = Conditioning(
        *(jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 32, 64, 12), (2, 0, 17), (2, 0))), lead=item
    )
    assert jax.eval_shape(net, params, x, item, cond).shape == x.shape


def test_examples_and_moments_of_each_lead():
    """The change of an Ornstein-Uhlenbeck process has variance 2 (1 - exp(-kappa tau)), and the loss its scale."""
    big = OU(kappa=0.8, train=3000, val=12, test=40, cells=4).load()
    domain = lam.domain_of(big, lam.Formulation("persistence", fill=False), times=TIMES)
    expected = np.sqrt(2 * (1 - np.exp(-0.8 * 0.25 * np.arange(1, 5))))
    np.testing.assert_allclose(domain.residual_std[:, 0] * domain.std, expected, rtol=0.03)
    examples = lam.Examples(big.train, domain)
    assert len(examples) == sum(len(s) - 1 - lead for s in big.train for lead in range(1, 5))
    rows = np.array([0, 2999, 8999])
    batch = examples.take(rows)
    for i, (_, now, lead) in enumerate(examples.index[rows]):
        assert batch.inputs.lead[i] == lead
        state = (big.train[0].state - np.asarray(domain.mean)) / np.asarray(domain.std)
        np.testing.assert_allclose(batch.truth[i], state[now + lead], atol=1e-5)
        np.testing.assert_allclose(batch.inputs.before[i], state[now - 1], atol=1e-5)
    for scale, power in (("std", 1), ("var", 2)):
        weight = CEF(scale=scale).weigher(big, domain)(batch)
        d = np.asarray(domain.residual_std)[batch.inputs.lead - 1]
        np.testing.assert_allclose(weight[:, 0, 0], d**2 / d**power, rtol=1e-5)
    none = lam.domain_of(big, lam.Formulation("none", fill=False), times=TIMES)
    np.testing.assert_allclose(none.residual_std, 1, rtol=0.02)
    np.testing.assert_allclose(lam.changes(none, big), domain.residual_std, rtol=1e-5)
