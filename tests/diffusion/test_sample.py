"""What `sample` promises beside figures: cost, no retrace, slots, conditions, errors."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtri

from genkit.chain import run, start
from genkit.diffusion import (
    DDIM,
    RK4,
    VP,
    Ancestral,
    DPMpp2S,
    DPMpp3M,
    Euler,
    EulerMaruyama,
    Heun,
    SDEDPMpp2M,
    sample,
)
from genkit.errors import UsageError
from genkit.testing import check_kernel, check_sampler, gmm_denoiser, linear_gaussian_denoiser

BOTH = pytest.mark.parametrize("make", [Heun, DPMpp2S])
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _fresh_trace_counter():
    chex.clear_trace_counter()


@pytest.mark.parametrize(
    "sampler, nfe",
    [
        (Heun(40), 79),
        (DPMpp2S(40, churn=1.0), 79),
        (Euler(200), 200),
        (DPMpp3M(40), 40),
        (RK4(20), 77),
        (Ancestral(200), 200),
        (SDEDPMpp2M(100), 100),
        (EulerMaruyama(400, grid="logsnr"), 400),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_every_sampler_promises(sampler, nfe):
    assert sampler.nfe == nfe
    check_sampler(sampler)


def test_what_every_process_promises():
    check_sampler(DDIM(200, sigma_min=0.01, sigma_max=50.0, eta=0.5), process=VP())


@pytest.mark.parametrize("sampler", [DDIM(eta=0.5), DPMpp2S(churn=2.0)], ids=lambda s: type(s).__name__)
def test_what_every_kernel_promises(sampler):
    model = sampler.model(gmm_denoiser([0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], process=VP()), (4, 2))
    kernel, steps = model.stages[0]
    p, _ = model.init(jax.random.split(KEY, 4))
    check_kernel(kernel, p, jax.tree.map(lambda a: a[12], steps))


@BOTH
def test_table_is_an_argument_of_jitted_code(make):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def draw(table, cond):
        return sample(KEY, table, linear_gaussian_denoiser(jnp.eye(2), std=0.3), (4, 2), cond)

    cond = jnp.arange(8.0).reshape(4, 2)
    for sampler in (make(5), make(5, sigma_max=50.0, churn=1.0)):
        expected = sample(KEY, sampler, linear_gaussian_denoiser(jnp.eye(2), std=0.3), (4, 2), cond)
        np.testing.assert_allclose(draw(sampler.table(), cond), expected, rtol=1e-5)


@BOTH
def test_chunks_equal_the_whole(make):
    denoiser = linear_gaussian_denoiser(np.array([[1.0], [2.0]]), std=0.3)
    cond, sampler = jnp.arange(6.0)[:, None], make(6, churn=2.0)
    whole = sample(KEY, sampler, denoiser, (6, 2), cond)
    for part in (slice(0, 3), slice(3, 6)):
        x = sample(KEY, sampler, denoiser, (3, 2), cond[part], slots=jnp.arange(6)[part])
        np.testing.assert_array_equal(x, whole[part])


def test_conditions_go_to_their_members():
    """x = A y + e: the deterministic sampler shifts by A y exactly, member by member."""
    with jax.enable_x64(True):
        matrix, cov = np.array([[1.0, 0.0], [2.0, -1.0]]), np.array([[1.0, 0.6], [0.6, 0.5]])
        denoiser, sampler = linear_gaussian_denoiser(matrix, std=None, cov=cov), Heun(40, 0.002)
        y, z = jax.random.normal(jax.random.key(1), (2, 5, 2))
        x = sample(KEY, sampler, denoiser, (5, 2), y, noise=z)
        # From noise of 80 the flow keeps a little of the distance between start and mean.
        start_at_mean = sample(KEY, sampler, denoiser, (5, 2), 0 * y, noise=z - y @ matrix.T / 80)
        np.testing.assert_allclose(x, y @ matrix.T + start_at_mean, rtol=1e-9)
        jacobian = jax.jacfwd(lambda z: sample(KEY, sampler, denoiser, (1, 2), y[:1], noise=z[None])[0])(z[0])
        np.testing.assert_allclose(jacobian @ jacobian.T, cov, rtol=0.03)


def test_rollout_inside_jit():
    """One compiled loop over lead times equals a loop of single draws."""
    denoiser, sampler = linear_gaussian_denoiser(0.9 * np.eye(2), std=0.3), DPMpp2S(5, churn=1.0)
    slots = jnp.array([4, 5, 6])

    def forward(x, lead):
        x = sample(jax.random.fold_in(KEY, lead), sampler, denoiser, (3, 2), x, slots)
        return x, x

    first = jnp.ones((3, 2))
    _, path = jax.jit(lambda x: jax.lax.scan(forward, x, jnp.arange(3)))(first)
    x = first
    for lead in range(3):
        x, _ = forward(x, lead)
        np.testing.assert_allclose(path[lead], x, rtol=1e-5)


def test_mixture():
    """In one dimension the flow is monotone: quantiles of the noise become quantiles of the mixture."""
    n = 4000
    z = ndtri((jnp.arange(n) + 0.5) / n)[:, None]
    denoiser = gmm_denoiser([0.3, 0.7], [[-2.0], [1.0]], std=[0.3, 0.5])
    x = sample(KEY, Heun(100, 0.002), denoiser, (n, 1), noise=z)
    assert (jnp.diff(x[:, 0]) > 0).all()
    np.testing.assert_allclose([x.mean(), x.var(), (x < -0.5).mean()], [0.1, 2.092, 0.300945], atol=4e-3)


def test_path_of_a_run():
    sampler, denoiser = Heun(5), gmm_denoiser([1.0], [[0.5]], std=[0.3])
    model = sampler.model(denoiser, (4, 1))
    state, kept = run(KEY, start(KEY, model, 4), model.stages, keep=_denoised)
    assert [k.shape for k in kept] == [(4, 4, 1), (1, 4, 1)]
    np.testing.assert_allclose(state.p.x, kept[0][-1])
    np.testing.assert_allclose(state.p.x, sample(KEY, sampler, denoiser, (4, 1)), rtol=1e-6)


def _denoised(state):
    return state.p.denoised


@BOTH
@pytest.mark.parametrize(
    "options, words",
    [
        (dict(steps=1), "steps=1"),
        (dict(sigma_min=2.0, sigma_max=2.0), "sigma_min < sigma_max"),
        (dict(sigma_min=0.0), "lowest"),
        (dict(churn=-1.0), "churn=-1.0 is negative"),
        (dict(churn_noise=-1.0), "churn_noise=-1.0"),
        (dict(rho=0.0), "rho=0.0"),
    ],
)
def test_wrong_options(make, options, words):
    with pytest.raises(UsageError, match=words) as error:
        make(**options)
    assert "\n" not in str(error.value)


def test_wrong_shapes():
    def short(x, t, cond=None):
        return x[:, :1]

    with pytest.raises(UsageError, match=r"returned shape \(4, 1\) for x of shape \(4, 2\)"):
        sample(KEY, Heun(5), short, (4, 2))
    with pytest.raises(UsageError, match="cond has a leaf of shape"):
        sample(KEY, Heun(5), short, (4, 2), cond=jnp.zeros((3, 2)))
    with pytest.raises(UsageError, match="noise has shape"):
        sample(KEY, Heun(5), short, (4, 2), noise=jnp.zeros((4, 1)))
