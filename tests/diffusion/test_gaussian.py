"""Samplers on Gaussian data, where every one of them is affine: exact figures without Monte-Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import (
    DDIM,
    DEIS,
    EDM,
    RK3,
    RK4,
    VE,
    VP,
    Ancestral,
    Cosine,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    Euler,
    EulerMaruyama,
    Flow,
    FlowODE,
    Heun,
    NetworkDenoiser,
    SDEDPMpp2M,
    SubVP,
    UniPC,
    invert,
    sample,
)
from genkit.errors import UsageError
from genkit.testing import gaussian_denoiser, gaussian_moments, gmm_denoiser

MEAN = 0.7
GENCAST = dict(churn=2.5, churn_min=0.75, churn_noise=1.05)
ORDER = {Euler: 1, Heun: 2, DPMpp2S: 2, DPMpp2M: 2, DPMpp3M: 3, RK3: 3, RK4: 4, UniPC: 3}
SOLVERS = list(ORDER)
NOISY = [DDIM, Ancestral, SDEDPMpp2M, EulerMaruyama]

# steps, lowest, highest level, std of the data; std of samples: Heun, 2S, Heun with churn, 2S with churn
TABLE = [
    (18, 0.002, 80.0, 0.5, 0.527625, 0.487567, 0.563795, 0.508478),
    (20, 0.03, 80.0, 0.5, 0.515223, 0.491452, 0.546787, 0.513720),
    (20, 0.03, 80.0, 1.0, 1.025726, 0.986702, 1.091376, 1.029007),
    (20, 0.02, 88.0, 1.0, 1.028658, 0.985774, 1.095382, 1.027359),
    (40, 0.002, 80.0, 1.0, 1.007901, 0.995696, 1.059517, 1.040989),
    (10, 0.03, 80.0, 1.0, 1.128004, 0.949151, 1.268575, 0.975661),
    (5, 0.03, 80.0, 1.0, 1.883991, 0.819508, 2.575880, 0.821349),
]


def variance(sampler, std, process=None):
    denoiser = gaussian_denoiser(MEAN, std, process=process or EDM())
    return float(gaussian_moments(sampler, denoiser)[1])


@pytest.mark.parametrize("row", TABLE, ids=lambda r: f"{r[0]}-{r[3]}")
def test_spread_of_samples(row):
    steps, low, high, std, *expected = row
    samplers = [make(steps, low, high, **churn) for churn in ({}, GENCAST) for make in (Heun, DPMpp2S)]
    with jax.enable_x64(True):
        np.testing.assert_allclose([variance(s, std) ** 0.5 for s in samplers], expected, atol=6e-7)


def flow_errors(make, nodes, grid="rho", **options):
    """Error at the lowest level against the exact flow x(b) = x(a) sqrt((s^2 + b^2) / (s^2 + a^2))."""
    exact = 80 * np.sqrt((0.25 + 0.002**2) / (0.25 + 80**2))
    samplers = [make(n, 0.002, 80.0, grid=grid, final=False, **options) for n in nodes]
    return [abs(variance(sampler, 0.5) ** 0.5 - exact) for sampler in samplers]


def test_published_third_order_rule_is_of_second_order():
    with jax.enable_x64(True):
        error = flow_errors(DPMpp3M, [1025, 2049], compat=True)
    assert np.log2(error[-2] / error[-1]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_order_of_adams_bashforth(order):
    """In the level of EDM and in the time of VP, from where the first steps of lower orders do no harm; 0 is Euler."""
    with jax.enable_x64(True):
        for process, high, grid in ((EDM(), 50.0, "rho"), (VP(), 2000.0, "quadratic")):
            denoiser = gaussian_denoiser(0.0, 0.5, process=process)
            error = []
            for n in (257, 513):
                sampler = DEIS(n, 0.1, high, grid=grid, final=False, order=order)
                table, scale = sampler.table(process), process.alpha(process.time(np.float64(0.1)))
                exact = high * np.sqrt((0.25 + 0.1**2) / (0.25 + high**2))
                error.append(abs(float(gaussian_moments(table, denoiser)[1]) ** 0.5 / scale - exact))
            assert np.log2(error[0] / error[1]) == pytest.approx(order + 1, abs=0.2)
        if order == 0:
            assert variance(DEIS(order=0), 0.5) == pytest.approx(variance(Euler(), 0.5), rel=1e-12)


@pytest.mark.parametrize("grid", ["rho", "quadratic"])
@pytest.mark.parametrize("make", SOLVERS)
def test_order_on_gaussian_data(make, grid):
    nodes = [257, 513] if make is RK4 else [1025, 2049] if grid == "rho" else [2049, 4097]
    with jax.enable_x64(True):
        error = flow_errors(make, nodes, grid)
    assert np.log2(error[0] / error[1]) == pytest.approx(ORDER[make], abs=0.1)


@pytest.mark.parametrize("order", [1, 3])
def test_a_corrector_gains_an_order(order):
    with jax.enable_x64(True):
        error = flow_errors(UniPC, [257, 513], order=order)
    assert np.log2(error[0] / error[1]) == pytest.approx(order + 1, abs=0.15)


@pytest.mark.parametrize("rule, order", [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_order_in_the_time_of_rectified_flow(rule, order):
    """From pure noise at t = 1 down to t = 0.1, on a mixture; on a Gaussian the variance (1 - t)^2 std^2 + t^2."""
    mixture = gmm_denoiser([0.3, 0.7], [[-2.0], [1.0]], std=[0.6, 0.8], process=Flow())
    z = jnp.linspace(-1.5, 1.5, 7)[:, None]

    def sampler(n, rule):
        return FlowODE(times=tuple(np.linspace(1, 0.1, n)), rule=rule, final=False)

    with jax.enable_x64(True):
        x = [
            sample(jax.random.key(0), sampler(*at), mixture, z.shape, noise=z)
            for at in ((33, rule), (65, rule), (513, "rk4"))
        ]
        error = [float(jnp.sqrt(((one - x[2]) ** 2).mean())) for one in x[:2]]
        found = variance(sampler(65, rule), 0.5, Flow())
    assert np.log2(error[0] / error[1]) == pytest.approx(order, abs=0.2)
    assert found == pytest.approx(0.81 * 0.25 + 0.01, rel=0.05 if order == 1 else 1e-3)


@pytest.mark.parametrize("make", [Euler, DPMpp2M, DPMpp2S, DPMpp3M, UniPC, DEIS, FlowODE])
def test_a_constant_velocity_from_pure_noise(make):
    """x_1 - v for every sampler and shift: the first level is infinite, and the network is asked at t = 1 itself."""
    asked = []

    def network(params, x, t, cond):
        jax.debug.callback(lambda t: asked.append(float(t[0])), t)
        return jnp.broadcast_to(params, x.shape)

    denoiser = NetworkDenoiser(network, jnp.array([0.5, -2.0]), Flow(), "flow")
    z = jnp.array([[1.0, 0.0], [-0.3, 2.0]])
    for options in ({"grid": "flow"}, {"grid": "flow", "shift": 3.0}, {"times": (1.0, 0.6, 0.2)}):
        x = sample(jax.random.key(0), make(5, **options), denoiser, (2, 2), noise=z)
        np.testing.assert_allclose(x, z - jnp.array([0.5, -2.0]), atol=1e-5)
    jax.effects_barrier()
    assert max(asked) == pytest.approx(1, abs=2e-6)


def test_timestep_shift():
    """Of rectified flow, t' = shift t / (1 + (shift - 1) t); of any process a factor on its levels."""
    t = np.arange(5, 0, -1) / 5
    np.testing.assert_allclose(Euler(5, grid="flow").time_grid(Flow()), t, atol=1e-6)
    np.testing.assert_allclose(Euler(5, grid="flow", shift=3.0).time_grid(Flow()), 3 * t / (1 + 2 * t), atol=1e-6)
    for process in (EDM(), Cosine()):
        levels = [process.ratio(Euler(5, 0.1, 20.0, shift=shift).time_grid(process)) for shift in (1.0, 2.5)]
        np.testing.assert_allclose(levels[1], 2.5 * levels[0], rtol=1e-9)


@pytest.mark.parametrize("make, order", [(Euler, 1), (Heun, 2), (DPMpp2M, 2), (RK4, 4)])
def test_inversion_is_the_flow_back(make, order):
    """To noise z with which the exact flow arrives at the data; the way there and back again has that order too."""
    errors, trips = [], []
    with jax.enable_x64(True):
        x = jnp.array([[0.2], [1.5]])
        for process in (EDM(), VP()):
            denoiser = gaussian_denoiser(MEAN, 0.5, process=process)
            for n in (129, 257):
                sampler = make(n, 0.1, 50.0, final=False)
                z = invert(sampler, denoiser, x)
                exact = (MEAN + (x - MEAN) * np.sqrt((0.25 + 50.0**2) / (0.25 + 0.1**2))) / 50
                errors.append(float(abs(z - exact).max()))
                back = sample(jax.random.key(0), sampler, denoiser, x.shape, noise=z)
                trips.append(float(abs(back / process.alpha(process.time(np.float64(0.1))) - x).max()))
            assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.2)
            assert trips[-1] < trips[-2] * 0.7 and trips[-1] < 0.2
    with pytest.raises(UsageError, match="adds noise, so it has no way back"):
        invert(DDIM(eta=0.5), denoiser, x)


@pytest.mark.parametrize("make", SOLVERS)
def test_processes_agree_on_mapped_grids(make):
    """VP, flow and the rest are EDM after division by alpha."""
    with jax.enable_x64(True):
        results = {}
        for process in (EDM(), VE(), VP(), SubVP(), Cosine(), Cosine(0.008), Flow()):
            denoiser = gmm_denoiser([0.3, 0.7], [[-2.0], [1.0]], std=[0.3, 0.5], process=process)
            z = jnp.linspace(-2, 2, 5)[:, None]
            results[process] = sample(jax.random.key(0), make(12, 0.05, 30.0), denoiser, (5, 1), noise=z)
        for process, x in results.items():
            np.testing.assert_allclose(x, results[EDM()], rtol=1e-12, atol=1e-12, err_msg=str(process))


@pytest.mark.parametrize("make", [DDIM, Ancestral, SDEDPMpp2M])
def test_noisy_samplers_agree_too(make):
    """The noise of a step, too, depends on the noise levels alone (but for Ancestral's large variance)."""
    options = {"eta": 0.6} if make is DDIM else {}
    with jax.enable_x64(True):
        found = [variance(make(12, 0.05, 30.0, **options), 0.5, p) for p in (EDM(), VP(), SubVP(), Cosine(), Flow())]
    np.testing.assert_allclose(found, found[0], rtol=1e-11)


def test_ddim_between_euler_and_ancestral():
    with jax.enable_x64(True):
        for std in (0.5, 1.0):
            assert variance(DDIM(eta=0.0), std) == pytest.approx(variance(Euler(), std), rel=1e-12)
            assert variance(DDIM(eta=1.0), std) == pytest.approx(variance(Ancestral(), std), rel=1e-12)


@pytest.mark.parametrize("make", NOISY)
@pytest.mark.parametrize("process", [EDM(), VP(), Flow()], ids=lambda p: type(p).__name__)
def test_noisy_samplers_converge_to_the_data(make, process):
    """Mean and variance are right to first order in the step, for every amount of noise."""
    amount = {DDIM: [{"eta": 0.5}], EulerMaruyama: [{"lam": 0.0}, {"lam": 0.5}, {"lam": 1.0}]}.get(make, [{}])
    for options in amount:
        errors = []
        with jax.enable_x64(True):
            for steps in (400, 800):
                sampler = make(steps, 0.01, 50.0, grid="logsnr", **options)
                mean, var = gaussian_moments(sampler, gaussian_denoiser(MEAN, 0.5, process=process))
                start = 50.0**2 / (50.0**2 + 0.25)  # what the missing signal at the first level costs at most
                assert float(mean) == pytest.approx(MEAN, abs=MEAN * (1 - start) + 0.51 * MEAN / 50 + 0.01)
                errors.append(float(var) - 0.25)
        assert abs(errors[1]) < 0.01
        if abs(errors[0]) > 1e-3:
            assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("make", [Heun, DPMpp2S, *NOISY])
def test_moves_are_gaussian_with_the_stated_noise(make):
    """Two keys differ by the noise alone, and log_prob is that of the Gaussian around the mean."""
    options = GENCAST | {"churn_min": 0.0} if make in (Heun, DPMpp2S) else {"eta": 0.5} if make is DDIM else {}
    with jax.enable_x64(True):
        denoiser = gaussian_denoiser(MEAN, 0.5, process=VP())
        model = make(6, **options).model(denoiser, (4, 3))
        kernel, steps = model.stages[0]
        p, _ = model.init(jax.random.split(jax.random.key(3), 4))
        u = jax.tree.map(lambda a: a[0], steps)
        moved = []
        for seed in (1, 2):
            keys = jax.random.split(jax.random.key(seed), 4)
            p1 = kernel.move(keys, p, u)
            eps = jax.vmap(lambda k: jax.random.normal(k, (3,)))(keys)
            mean, std = p1.x - u.noise[-1] * eps, float(u.noise[-1])
            assert std > 0
            np.testing.assert_allclose(kernel.mean(p, u), mean, rtol=1e-12)
            expected = -0.5 * (eps**2).sum(1) - 1.5 * np.log(2 * np.pi * std**2)
            np.testing.assert_allclose(kernel.log_prob(p, p1, u), expected, rtol=1e-10)
            np.testing.assert_allclose(p1.denoised, denoiser(p1.x, u.time[-1]), rtol=1e-12)
            moved.append(mean)
        np.testing.assert_allclose(*moved, rtol=1e-12)


def test_without_the_last_step_the_end_is_at_the_lowest_level():
    """Churn does not raise it: the exact std at .3 is sqrt(.25 + .09)."""
    sampler = Heun(400, 0.3, 80.0, churn=20.0, final=False)
    assert sampler.table().steps.time[-1, -1] == 0.3 and sampler.table().steps.noise[-1, -1] == 0
    with jax.enable_x64(True):
        assert variance(sampler, 0.5) ** 0.5 == pytest.approx(0.34**0.5, rel=1e-3)


def test_a_step_without_noise_has_no_density():
    model = Heun(6, **GENCAST).model(gaussian_denoiser(), (2, 1))
    kernel, steps = model.stages[0]
    p, _ = model.init(jax.random.split(jax.random.key(3), 2))
    quiet = jax.tree.map(lambda a: a[-1], steps)  # below churn_min
    assert quiet.noise[-1] == 0
    assert (kernel.log_prob(p, p, quiet) == -jnp.inf).all()
    assert Euler().model(gaussian_denoiser(), (2, 1)).stages[0][0].log_prob is None


@pytest.mark.parametrize("make, column", [(Heun, 4), (DPMpp2S, 5)])
@pytest.mark.parametrize("x64", [True, False])
def test_whole_run(make, column, x64):
    """`sample` itself: gain from the first noise to the sample."""
    row = TABLE[2]
    sampler, denoiser = make(*row[:3]), gaussian_denoiser(MEAN, row[3])
    with jax.enable_x64(x64):
        z = jnp.array([0.0, 1.0, -2.0])
        x = sample(jax.random.key(0), sampler, denoiser, (3,), noise=z)
        # 0 is not quite mapped to the mean: the flow ends at mu (1 - gain / 80)
        gain = x[1] - x[0]
        np.testing.assert_allclose(gain, row[column], rtol=1e-6 if x64 else 1e-4)
        np.testing.assert_allclose(x, MEAN + gain * (z - MEAN / row[2]), rtol=1e-10 if x64 else 1e-4)


@pytest.mark.parametrize("make, options", [(Heun, GENCAST), (DPMpp2S, GENCAST), (SDEDPMpp2M, {}), (Ancestral, {})])
def test_fresh_noise_in_each_step(make, options):
    sampler, denoiser = make(*TABLE[2][:3], **options), gaussian_denoiser()
    x = sample(jax.random.key(0), sampler, denoiser, (40_000,))
    np.testing.assert_allclose([x.mean(), x.std()], [0, gaussian_moments(sampler, denoiser)[1] ** 0.5], atol=0.016)


def test_order_on_a_mixture():
    """Against RK4 on a fine grid."""
    denoiser = gmm_denoiser([0.3, 0.7], [[-2.0], [1.0]], std=[0.3, 0.5])
    z = jnp.linspace(-1.5, 1.5, 7)[:, None]

    def end(make, nodes, grid):
        return sample(jax.random.key(0), make(nodes, 0.1, 80.0, grid=grid, final=False), denoiser, (7, 1), noise=z)

    with jax.enable_x64(True):
        for grid in ("rho", "logsnr"):
            exact = end(RK4, 4097, grid)
            for make in SOLVERS:
                nodes = [257, 513] if make is RK4 else [513, 1025]
                error = [float(jnp.sqrt(((end(make, n, grid) - exact) ** 2).mean())) for n in nodes]
                assert np.log2(error[0] / error[1]) == pytest.approx(ORDER[make], abs=0.1), (make, grid)
