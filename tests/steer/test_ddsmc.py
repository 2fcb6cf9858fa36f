"""Methods against closed forms for a Gaussian prior, where the chain under its potentials is Gaussian."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from genkit.chain import start
from genkit.diffusion import EDM, VP, Cosine
from genkit.errors import GenkitError, UsageError
from genkit.smc import Resample, multinomial
from genkit.steer import DAPS, DDRM, DDSMC, DPS, TDS, MCGDiff, Normal, PiGDM, dense, mask, observe, posterior, weighs
from genkit.testing import check_kernel, gaussian_denoiser, linear_gaussian_denoiser

T, D, STD, Y = 10, 0.8, 0.5, 1.0
TIMES = tuple(k / (T + 1) for k in range(T, 0, -1))  # of Cosine: abar_t = cos^2(pi/2 t/(T + 1))
PRIOR = gaussian_denoiser(process=Cosine())
ABAR = np.cos(np.pi / 2 * np.arange(T + 1) / (T + 1)) ** 2
# one of two numbers is measured, in a direction between the axes
OBSERVATION = observe(dense([[0.48, 0.64]]), [Y], STD)
ALONG = np.array([0.6, 0.8])


def chain_variance(eta, recon):
    """Variance of x_0 under the chain of the prior, by the formulas of the variance-preserving form."""
    angle = np.arccos(np.sqrt(ABAR))
    f = np.sqrt(ABAR) if recon == "tweedie" else np.cumprod(np.cos(np.diff(angle, prepend=0.0)))
    v = 1.0
    for t in range(T - 1, -1, -1):
        beta = 1 - ABAR[t + 1] / ABAR[t]
        den = beta + eta * (1 - beta - ABAR[t + 1])
        c0, c1 = np.sqrt(ABAR[t]) * beta / den, eta * np.sqrt(1 - beta) * (1 - ABAR[t]) / den
        v = (c0 * f[t + 1] + c1) ** 2 * v + beta * (1 - ABAR[t]) / den
    return v


def run(method, groups=128, particles=2000, **options):
    with jax.enable_x64(True):
        draws = posterior(jax.random.key(1), method, PRIOR, OBSERVATION, groups, particles, draws=50, **options)
        return jax.tree.map(np.asarray, draws)


def check(draws, v, sigmas=4.0):
    """Evidence and posterior within four standard errors, and these small enough to mean something."""
    evidence = norm.pdf(Y, 0, np.sqrt(STD**2 + D**2 * v))
    z = np.exp(draws.log_z) / evidence
    error = z.std() / np.sqrt(z.size)
    assert error < 0.012
    assert abs(z.mean() - 1) < sigmas * error
    x, w = draws.x @ ALONG, z[:, None]  # groups weighed by their evidence are unbiased
    for h, expected in ((x, D * Y * v / (D**2 * v + STD**2)), (x**2, None)):
        if expected is None:
            expected = v * STD**2 / (D**2 * v + STD**2) + (D * Y * v / (D**2 * v + STD**2)) ** 2
        means = ((h - expected) * w).mean(1)
        assert means.std() / np.sqrt(z.size) < 0.03
        assert abs(means.mean()) < sigmas * means.std() / np.sqrt(z.size)
    across = draws.x @ np.array([-0.8, 0.6])  # nothing measured: the prior's variance
    means = (across**2 * w).mean(1)
    assert abs(means.mean() - v) < sigmas * means.std() / np.sqrt(z.size)


@pytest.mark.parametrize(
    ("recon", "spread", "v", "log_z"), [("tweedie", 1.0, 0.415667, -1.557082), ("ode", 1.4, 0.756359, -1.445497)]
)
def test_evidence_and_posterior(recon, spread, v, log_z):
    """With the flow and spread 1, the same target, log Z has tails too heavy for a standard error to mean much."""
    assert chain_variance(0.0, recon) == pytest.approx(v, abs=1e-6)
    assert norm.logpdf(Y, 0, np.sqrt(STD**2 + D**2 * v)) == pytest.approx(log_z, abs=1e-6)
    draws = run(DDSMC(times=TIMES, recon=recon, spread=spread))
    check(draws, v)
    assert draws.ess.shape == (128, T + 1)


@pytest.mark.parametrize(("eta", "proposal"), [(0.3, "exact"), (0.3, "reference"), (1.0, "exact")])
def test_every_eta_and_either_proposal_have_the_same_target(eta, proposal):
    method = DDSMC(times=TIMES, eta=eta, proposal=proposal)
    check(run(method), chain_variance(eta, "tweedie"))


@pytest.mark.parametrize("method", [TDS(times=TIMES), TDS(times=TIMES, clip=0.5), MCGDiff(times=TIMES, kappa=0.3),
                                    MCGDiff(times=TIMES, kappa=1.0)])  # fmt: skip
def test_peers_have_the_posterior_of_the_ancestral_chain(method):
    """Whatever the clipping and kappa, which is so large since with a small one log Z has no variance to test by."""
    check(run(method), chain_variance(1.0, "tweedie"))


def test_the_ancestral_step_is_that_of_ddpm():
    """With eta = 1 and no observation to speak of, the chain has the variance of DDPM's small-variance sampler."""
    assert chain_variance(1.0, "tweedie") == pytest.approx(_ancestral_variance(), abs=1e-12)


def _ancestral_variance():
    v = 1.0
    for t in range(T - 1, -1, -1):
        ratio = ABAR[t + 1] / ABAR[t]
        beta = 1 - ratio
        mean = np.sqrt(ABAR[t]) * beta / (1 - ABAR[t + 1]) * np.sqrt(ABAR[t + 1])
        mean += np.sqrt(ratio) * (1 - ABAR[t]) / (1 - ABAR[t + 1])
        v = mean**2 * v + beta * (1 - ABAR[t]) / (1 - ABAR[t + 1])
    return v


def test_variance_exploding_differs_by_its_beginning_alone():
    s = np.sqrt(1 / ABAR[:0:-1] - 1)
    tables = [DDSMC(times=t, eta=0.5).table(p) for t, p in ((TIMES, Cosine()), (tuple(s), EDM()))]
    for a, b in zip(
        *(jax.tree.leaves((t.steps.c0, t.steps.lam2, t.steps.arrival.path.s)) for t in tables), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert tables[0].first[0] == pytest.approx(1 / np.sqrt(ABAR[-1]))
    assert tables[1].first[0] == pytest.approx(s[0])
    v = s[0] ** 2
    for s0, s1 in zip(s, [*s[1:], 0.0], strict=True):
        gap = s0**2 - s1**2
        total = 0.5 * s1**2 + gap
        v = (gap / total / (1 + s0**2) + 0.5 * s1**2 / total) ** 2 * v + gap * s1**2 / total
    with jax.enable_x64(True):
        draws = posterior(
            jax.random.key(2), tables[1], gaussian_denoiser(), OBSERVATION, groups=64, particles=1000, draws=50
        )
        check(jax.tree.map(np.asarray, draws), v)


def test_rho_changes_the_weights_and_not_the_target():
    method = DDSMC(times=TIMES, rho_range=(0.05, 0.9))
    table = method.table(Cosine())
    assert table.first[1].rho2 == pytest.approx(0.81) and table.last[0] == pytest.approx(0.0025)
    check(run(method), chain_variance(0.0, "tweedie"))


def test_a_condition_of_the_prior():
    """E[x_0] = c: where nothing is measured the chain goes from 0 to c by what each reconstruction forgets."""
    prior = linear_gaussian_denoiser(np.eye(2), process=Cosine())
    c = np.array([-0.8, 0.6])
    cond = jnp.asarray(np.broadcast_to(c, (400, 2)))
    draws = posterior(jax.random.key(0), DDSMC(times=TIMES), prior, OBSERVATION, groups=400, particles=200, cond=cond)
    across = np.asarray(draws.x[:, 0] @ c)
    expected = 1 - np.prod(ABAR[1:])  # a reconstruction keeps 1 / (1 + s^2) = abar of the distance to c
    assert across.mean() == pytest.approx(expected, abs=4 * float(across.std()) / 20)


def test_the_last_step_of_the_reference_is_biased():
    """The reason why it is an option only."""
    log_z = run(DDSMC(times=TIMES, last="reference")).log_z
    z = np.exp(log_z + 1.557082)
    assert z.mean() - 1 > 4 * z.std() / np.sqrt(z.size)


def test_the_proposal_keeps_a_positive_variance_on_coarse_grids():
    method = DDSMC(times=(0.9, 0.3, 0.05), eta=1.0, spread=30.0)
    assert not DDSMC(steps=100).clipped(Cosine()).any() and method.clipped(Cosine()).any()
    precise = observe(dense([[100.0, 0.0]]), [0.0], 1e-3)
    draws = posterior(jax.random.key(0), method, PRIOR, precise, groups=2, particles=50)
    assert np.isfinite(draws.log_z).all() and np.isfinite(draws.x).all()


def test_calls_of_the_network():
    calls = []

    def prior(x, t, cond):
        jax.debug.callback(lambda: calls.append(x.shape))
        return x / (1 + t**2)

    for recon, inner, expected in (("tweedie", None, 6), ("ode", None, 21), ("ode", 2, 11)):
        method = DDSMC(steps=6, recon=recon, inner=inner)
        calls.clear()
        posterior(jax.random.key(0), method, prior, OBSERVATION, groups=1, particles=4).x.block_until_ready()
        jax.effects_barrier()
        assert len(calls) == method.calls(EDM()) == expected


def test_groups_do_not_depend_on_chunks_and_new_values_compile_nothing():
    count = []

    @jax.jit
    def draw(table, observation):
        count.append(0)
        return [
            posterior(jax.random.key(0), table, PRIOR, observation, 3, 20, resampler=Resample(threshold=0.5), chunk=c)
            for c in (None, 2, 1)
        ]

    method = DDSMC(times=TIMES)
    whole, *parts = draw(method.table(Cosine()), OBSERVATION)
    for part in parts:
        np.testing.assert_allclose(part.x, whole.x, atol=1e-5)
    draw(
        replace(method, eta=0.5, spread=2.0).table(Cosine()),
        replace(OBSERVATION, y=np.zeros(1), noise=Normal(np.array(1.0))),
    )
    assert len(count) == 1


@pytest.mark.parametrize("method", [DDSMC(times=TIMES, eta=0.4), TDS(times=TIMES), MCGDiff(times=TIMES)])
def test_kernels(method):
    model = method.model(PRIOR, observe(mask([True, False]), [0.3], 0.5))
    kernel, inputs = model.stages[0]
    state = start(jax.random.key(0), model, 6)
    u = jax.tree.map(lambda a: jnp.asarray(a[4]), inputs)
    check_kernel(kernel, state.p, u, state=lambda p: p.z)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"eta": 1.1}, "eta=1.1"), ({"inner": 0}, "inner=0"), ({"spread": 0.0}, "spread=0"), ({"steps": 1}, "steps=1"),
     ({"times": (0.1, 0.5)}, "must decrease"), ({"recon": "best"}, "recon='best'")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        DDSMC(**options)


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: TDS(eta=0.0), "eta=0.0"), (lambda: TDS(clip=0.0), "clip=0.0"), (lambda: MCGDiff(eta=2.0), "eta=2.0"),
     (lambda: MCGDiff(kappa=0.0), "kappa=0.0"), (lambda: TDS().table(EDM()).model(PRIOR, OBSERVATION), "the table is")],
)  # fmt: skip
def test_wrong_options_of_peers(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_weights_that_all_vanish_are_told():
    with pytest.raises(GenkitError, match="no particle explains what was asked for"):
        posterior(jax.random.key(0), DDSMC(), lambda x, t, c: x * jnp.inf, OBSERVATION, groups=2, particles=5)


def test_a_group_knows_the_variance_of_its_evidence():
    """Whose estimate is made for multinomial resampling: with another there is none."""
    assert np.isnan(run(DDSMC(times=TIMES), groups=4, particles=300).log_z_var).all()
    draws = run(DDSMC(times=TIMES), groups=400, particles=300, resampler=Resample(multinomial, threshold=1.0))
    ratio = np.exp(draws.log_z - draws.log_z.mean())
    assert (np.isnan(draws.log_z_var) | (draws.log_z_var > 0)).all() and np.isnan(draws.log_z_var).mean() < 0.2
    estimate = np.nan_to_num(draws.log_z_var) * ratio**2 / ratio.mean() ** 2  # of Z over its mean
    assert estimate.mean() == pytest.approx((ratio / ratio.mean()).var(), rel=0.35)


def test_which_methods_weigh():
    found = [weighs(m, PRIOR) for m in (DDSMC(), TDS(), MCGDiff(), PiGDM(), DPS(), DAPS(), DDRM())]
    assert found == [True] * 3 + [False] * 4
    alone = posterior(jax.random.key(0), DDSMC(times=TIMES), PRIOR, OBSERVATION, groups=2, particles=1)
    assert np.isnan(alone.log_z_var).all()


@pytest.mark.parametrize(("eta", "recon", "expected"), [
    (0.0, "tweedie", {20: 0.629, 40: 0.665}), (0.5, "tweedie", {20: 0.696, 40: 0.751}),
    (1.0, "tweedie", {20: 0.798, 40: 0.890}),
])  # fmt: skip
def test_the_chain_of_ddsmc_is_narrower_than_the_data(eta, recon, expected):
    for steps, std in expected.items():
        assert DDSMC(steps=steps, eta=eta, recon=recon).prior_std(VP()) == pytest.approx(std, abs=6e-4)
