"""What `sample` promises beside figures: cost, no retrace, slots, conditions, errors."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtri

from genkit.chain import run, start
from genkit.diffusion import (
    DDIM,
    DDPM,
    DEIS,
    EDM,
    RK3,
    RK4,
    SAMPLERS,
    VE,
    VP,
    Adaptive,
    Ancestral,
    Consistency,
    Cosine,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    EDMDenoiser,
    Euler,
    EulerMaruyama,
    Flow,
    FlowODE,
    Heun,
    PredictorCorrector,
    SDEDPMpp2M,
    UniPC,
    sample,
)
from genkit.errors import GenkitError, UsageError
from genkit.testing import check_kernel, check_sampler, gaussian_denoiser, gmm_denoiser, linear_gaussian_denoiser

BOTH = pytest.mark.parametrize("make", [Heun, DPMpp2S])
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _fresh_trace_counter():
    chex.clear_trace_counter()


# a sampler of each kind, its number of network calls, and the process on which it is tried
PROMISES = {
    type(sampler): (sampler, nfe, *process)
    for sampler, nfe, *process in [
        (Heun(40), 79),
        (DPMpp2S(40, churn=1.0), 79),
        (Euler(200), 200),
        (DPMpp3M(40), 40),
        (RK4(20), 77),
        (Ancestral(200), 200),
        (SDEDPMpp2M(100), 100),
        (EulerMaruyama(400, grid="logsnr"), 400),
        (DPMpp2M(40), 40),
        (RK3(20), 58),
        (UniPC(40), 40),
        (DEIS(40), 40),
        (Adaptive(), None),
        (DDIM(200, sigma_min=0.01, sigma_max=50.0, eta=0.5), 200, VP()),
        (FlowODE(40, grid="flow"), 79, Flow()),
    ]
}
# Not for exact samples of two numbers: one needs a consistency function, the other norms of many numbers.
OTHERS = {Consistency: 1, PredictorCorrector: 2}  # network calls a step


@pytest.mark.parametrize("make", [make for make in SAMPLERS if make not in OTHERS])
def test_what_every_sampler_promises(make):
    sampler, nfe, *process = PROMISES[make]
    assert nfe is None or sampler.nfe == nfe
    check_sampler(sampler, 0.05, *process)


@pytest.mark.parametrize("make, calls", OTHERS.items())
def test_calls_and_traces_of_the_others(make, calls):
    levels = []

    # the call of the beginning and the one in the loop: two places in the program
    @chex.assert_max_traces(n=2)
    def network(params, x, c_noise, cond):
        jax.debug.callback(lambda c: levels.append(np.exp(4 * float(c[0]))), c_noise)
        return params * x

    def draw(params, key, **options):
        return sample(jax.random.key(key), make(7, **options), EDMDenoiser(network, params), (2, 3))

    first = draw(jnp.float32(0.1), 0).block_until_ready()
    jax.effects_barrier()
    assert len(levels) == make(7).nfe == 1 + 6 * calls
    assert min(levels) > 0 and max(levels) == pytest.approx(80, rel=1e-4)
    assert not jnp.allclose(first, draw(jnp.float32(0.2), 0))
    assert not jnp.allclose(first, draw(jnp.float32(0.1), 1))
    assert not jnp.allclose(first, draw(jnp.float32(0.1), 0, sigma_min=0.01, sigma_max=50.0))


def test_number_of_calls_of_given_times():
    assert DDIM(times=(999.0, 500.0, 0.0)).nfe == 3


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


@pytest.mark.parametrize("sampler", [Heun(6, churn=2.0), DPMpp2S(6, churn=2.0), SDEDPMpp2M(6), Adaptive()], ids=repr)
def test_chunks_equal_the_whole(sampler):
    denoiser = linear_gaussian_denoiser(np.array([[1.0], [2.0]]), std=0.3)
    cond = jnp.arange(6.0)[:, None]
    whole = sample(KEY, sampler, denoiser, (6, 2), cond)
    for part in (slice(0, 3), slice(3, 6)):
        x = sample(KEY, sampler, denoiser, (3, 2), cond[part], slots=jnp.arange(6)[part])
        np.testing.assert_allclose(x, whole[part], rtol=2e-6)


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


@pytest.mark.parametrize("make", [EulerMaruyama, PredictorCorrector, DPMpp3M])
def test_tables_are_made_inside_jit_too(make):
    denoiser = gaussian_denoiser(0.3, 0.5, process=VP())
    inside = jax.jit(lambda key: sample(key, make(5), denoiser, (4, 2)))(KEY)
    np.testing.assert_allclose(inside, sample(KEY, make(5), denoiser, (4, 2)), rtol=1e-5, atol=1e-6)


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


def test_adaptive_flow_is_exact():
    """x(b) = x(a) sqrt((s^2 + b^2) / (s^2 + a^2)), for every process, each item with its own steps."""
    with jax.enable_x64(True):
        for process, solver in ((EDM(), "tsit5"), (VP(), "dopri5"), (Flow(), "tsit5")):
            denoiser = gaussian_denoiser(0.0, 0.5, process=process)
            sampler = Adaptive(1e-9, 1e-9, solver=solver, final=False)
            x = sample(KEY, sampler, denoiser, (2, 1), noise=jnp.ones((2, 1)))
            t = process.time(np.float64(0.002))
            np.testing.assert_allclose(x / process.alpha(t), 0.4999942345669707, rtol=1e-7)
        loose, z = Adaptive(1e-2, 1e-2), jnp.array([[0.1], [3.0]])
        denoiser = gmm_denoiser([0.3, 0.7], [[-2.0], [1.0]], std=[0.3, 0.5])
        both = sample(KEY, loose, denoiser, (2, 1), noise=z)
        one = sample(KEY, loose, denoiser, (2, 1), noise=jnp.array([[0.1], [-1.0]]))
        np.testing.assert_allclose(both[0], one[0], rtol=1e-12)


@pytest.mark.parametrize("process", [EDM(), VP()], ids=lambda p: type(p).__name__)
def test_corrections_are_langevin_steps(process):
    """One move of the kernel, written out."""
    with jax.enable_x64(True):
        denoiser, sampler = gaussian_denoiser(0.3, 0.5, process=process), PredictorCorrector(5, corrections=2, snr=0.1)
        model = sampler.model(denoiser, (3, 4))
        kernel, steps = model.stages[0]
        keys = jax.random.split(jax.random.key(1), 3)
        p, _ = model.init(jax.random.split(jax.random.key(0), 3))
        u = jax.tree.map(lambda a: a[1], steps)
        p = replace(p, x=jnp.arange(12.0).reshape(3, 4))
        p = replace(p, denoised=denoiser(p.x, u.time))
        found = kernel.move(keys, p, u)
        t, t1 = float(u.time), float(u.predictor.time[0])
        x, alpha, sigma = p.x, process.alpha(np.float64(t)), process.sigma(np.float64(t))
        for j in range(3):
            z = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, j), (4,)))(keys)  # noqa: B023
            score = (alpha * denoiser(x, t) - x) / sigma**2
            if j < 2:
                a = (alpha / process.alpha(np.float64(t1))) ** 2
                norms = [jnp.linalg.norm(v, axis=1).mean() for v in (z, score)]
                e = 2 * a * (0.1 * norms[0] / norms[1]) ** 2
                x = x + e * score + jnp.sqrt(2 * e) * z
            else:
                f, g2 = process.drift_diffusion(t)
                x = x + (f * x - g2 * score) * (t1 - t) + jnp.sqrt(g2 * (t - t1)) * z
        np.testing.assert_allclose(found.x, x, rtol=1e-9)
        np.testing.assert_allclose(found.denoised, denoiser(x, t1), rtol=1e-9)


def test_corrected_samples_spread_like_the_data(optimised):
    """Langevin steps of that size widen a Gaussian by the factor sqrt(1 + snr^2), 1.3 %."""
    x = sample(KEY, PredictorCorrector(400, 0.01, 50.0), gaussian_denoiser(0.0, 0.5), (500, 256))
    assert 0.5 < x.std() < 0.5 * (1 + 0.16**2) ** 0.5 * 1.015


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
        (dict(times=(1.0, 2.0)), "must decrease"),
    ],
)
def test_wrong_options(make, options, words):
    with pytest.raises(UsageError, match=words) as error:
        make(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: DDIM(eta=1.5), r"eta=1.5 is outside \[0, 1\]"),
        (lambda: EulerMaruyama(lam=-1.0), "lam=-1.0 is negative"),
        (lambda: PredictorCorrector(corrections=0), "corrections=0"),
        (lambda: Adaptive(rtol=0.0), "must be positive"),
        (lambda: Adaptive(solver="rk4"), "unknown solver 'rk4'; known: tsit5, dopri5"),
        (lambda: Adaptive().table(VP()).model(gaussian_denoiser(), (2, 1)), r"table is for VP.* the denoiser for EDM"),
        (lambda: Heun(sigma_max=0.0), "sigma_min < sigma_max"),
        (lambda: Euler(times=(80.0, 1.0, 0.0)).table(), "reach level zero"),
        (lambda: Euler(times=(0.5, 0.0)).table(Flow()), "reach level zero"),
        (lambda: Euler(times=(1200.0, 500.0)).table(DDPM()), "hold 1200, which is no time of DDPM.* 0 to 999"),
        (lambda: Euler(times=(1000.0, 500.0)).table(DDPM()), "hold 1000, which is no time of DDPM"),
        (lambda: Euler(times=(900.0, -3.0)).table(DDPM()), "hold -3, which is no time of DDPM"),
        (lambda: Euler(times=(1.2, 0.5)).table(Flow()), "hold 1.2, which is no time of Flow"),
        (lambda: Euler(times=(0.5, -0.1)).table(Flow()), "hold -0.1, which is no time of Flow"),
        (lambda: Euler(times=(1.5, 0.5)).table(Cosine()), "hold 1.5, which is no time of Cosine"),
        (lambda: Euler(times=(0.5, -0.1)).table(VP()), "hold -0.1, which is no time of VP"),
        (lambda: Euler(times=(np.nan, 0.5)).table(VE()), "hold nan, which is no time of VE"),
        (lambda: Heun(times=(1.0, 0.5)).table(Flow()), "Heun has no first step from pure noise"),
        (lambda: Euler(grid="flow").table(VP()), "begins at pure noise, of which VP"),
        (lambda: Euler(times=(1.5, 0.5)).table(VP()), "hold 1.5, which is no time of VP"),
        (lambda: Euler(shift=0.0), "shift=0.0 must be positive"),
        (lambda: Heun(18, 0.002).table(DDPM()), "0.002 is beyond those of DDPM.*0.01 to 157"),
        (lambda: Heun(5, 0.0099).table(DDPM()), "0.0099 is beyond those of DDPM"),
        (lambda: Heun(sigma_max=157.5, sigma_min=None).table(DDPM()), "157.5 is beyond those of DDPM"),
        (lambda: Heun(sigma_max=None, churn=10.0).table(DDPM()), "beyond those of DDPM"),
        (lambda: Euler(10, 0.002, 40.0, grid="quadratic").table(VE()), "ends at time -"),
        (lambda: Heun(grid="cubic").table(), "unknown grid 'cubic'; known: rho"),
        (lambda: Heun(sigma_min=None, grid="log").table(DDPM()), "ends at time 0"),
        (lambda: Heun().table(VP()).model(gaussian_denoiser(), (2, 1)), r"table is for VP.* the denoiser for EDM"),
    ],
)
def test_wrong_values(make, words):
    """No level is clamped or divided by zero in silence."""
    with pytest.raises(UsageError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


def test_samples_that_are_not_finite():
    def broken(x, t, cond=None):
        return jnp.where(x[:, :1] > 0, jnp.nan, x)

    with pytest.raises(GenkitError, match="2 of 3 samples are not finite"):
        sample(KEY, Heun(5), broken, (3, 2), noise=jnp.array([[1.0, 0], [-1, 0], [1, 1]]))


def test_published_levels_of_ddpm():
    """Its last level, sqrt(1e-4 / (1 - 1e-4)), is published as .01."""
    assert DDPM().ratio(np.float64(Heun(5, 0.01, 100.0).time_grid(DDPM())[-1])) == pytest.approx(0.0100005, rel=1e-6)


def test_wrong_shapes():
    def short(x, t, cond=None):
        return x[:, :1]

    with pytest.raises(UsageError, match=r"returned shape \(4, 1\) for x of shape \(4, 2\)"):
        sample(KEY, Heun(5), short, (4, 2))
    with pytest.raises(UsageError, match="cond has a leaf of shape"):
        sample(KEY, Heun(5), short, (4, 2), cond=jnp.zeros((3, 2)))
    with pytest.raises(UsageError, match="noise has shape"):
        sample(KEY, Heun(5), short, (4, 2), noise=jnp.zeros((4, 1)))
