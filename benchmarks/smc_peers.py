"""Sequential Monte Carlo beside other toolkits on the CPU, with the same models, numbers of particles and moves:

    genkit bench benchmarks.smc_peers:SMCPeers

needs particles (numpy and numba) and the plugin inverse; blackjax comes with genkit. DDSMC has no peer on an index: it
is put beside a plain numpy loop, as one would write it from the paper.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench import Row, Timed
from genkit.chain import run, start
from genkit.errors import GenkitError
from genkit.smc import HMC, RandomWalk, Resample, Tempering
from genkit.steer import DDSMC, posterior
from genkit.testing import LinearGaussian

SERIES = np.sin(np.arange(1, 51))
D, ROWS = 10, 40
DESIGN = 0.5 * np.linalg.qr(np.random.default_rng(0).normal(size=(ROWS, D)))[0]
TARGET = DESIGN @ np.random.default_rng(1).normal(size=D) * 20
SCALE = 8.0  # x ~ N(0, I), TARGET ~ N(SCALE DESIGN x, I)
KEY = jax.random.key(0)


def log_evidence() -> float:
    """log N(TARGET; 0, I + SCALE^2 DESIGN DESIGN^T)."""
    cov = np.eye(ROWS) + SCALE**2 * DESIGN @ DESIGN.T
    _, logdet = np.linalg.slogdet(2 * np.pi * cov)
    return float(-0.5 * (logdet + TARGET @ np.linalg.solve(cov, TARGET)))


def log_prior(x: Any) -> Any:
    """(d,) -> ()."""
    return -0.5 * jnp.sum(x**2) - 0.5 * D * jnp.log(2 * jnp.pi)


def log_lik(x: Any) -> Any:
    """(d,) -> ()."""
    return -0.5 * jnp.sum((TARGET - SCALE * DESIGN @ x) ** 2) - 0.5 * ROWS * jnp.log(2 * jnp.pi)


def log_target(x: Any) -> Any:
    """(d,) -> ()."""
    return log_prior(x) + log_lik(x)


def filters(n: int) -> tuple[Callable[[], Any], Callable[[], float]]:
    """log Z by a bootstrap filter of n particles that resamples below half: ours, that of particles."""
    import particles
    from particles import kalman, state_space_models

    model, resample = LinearGaussian().bootstrap(SERIES), Resample()
    ours = jax.jit(lambda key: run(key, start(key, model, n), model.stages, resample)[0].log_z).lower(KEY).compile()
    fk = state_space_models.Bootstrap(ssm=kalman.LinearGauss(sigmaX=1.0, sigmaY=0.2, rho=0.9), data=SERIES)

    def theirs() -> float:
        smc = particles.SMC(fk=fk, N=n, resampling="systematic", ESSrmin=0.5)
        smc.run()
        return smc.logLt

    return lambda: ours(KEY), theirs


def tempering_particles(n: int) -> tuple[Callable[[], Any], Callable[[], float]]:
    """log Z by waste-free adaptive tempering, n states in all, chains of 10 random walks: ours, that of particles."""
    import particles
    from particles import distributions, smc_samplers

    class Regression(smc_samplers.StaticModel):
        def loglik(self, theta, t=None):
            error = TARGET - SCALE * theta["x"] @ DESIGN.T
            return -0.5 * (error**2).sum(1) - 0.5 * ROWS * np.log(2 * np.pi)

    prior = distributions.StructDist({"x": distributions.MvNormal(cov=np.eye(D))})

    def theirs() -> float:
        fk = smc_samplers.AdaptiveTempering(model=Regression(data=TARGET, prior=prior), len_chain=10, ESSrmin=0.5)
        smc = particles.SMC(fk=fk, N=n // 10, resampling="systematic")
        smc.run()
        return smc.logLt

    return ours_tempering(Tempering(RandomWalk(accept=None), 10, 0.5), n), theirs


def tempering_blackjax(n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """log Z by adaptive tempering, 5 HMC moves of 5 leapfrog steps: ours scaled by coordinate, blackjax in a loop."""
    import blackjax
    from blackjax.smc import extend_params
    from blackjax.smc.resampling import systematic

    hmc = {"step_size": 0.2, "inverse_mass_matrix": jnp.ones(D), "num_integration_steps": 5}
    smc = blackjax.adaptive_tempered_smc(
        log_prior, log_lik, blackjax.hmc.build_kernel(), blackjax.hmc.init, extend_params(hmc), systematic, 0.5,
        num_mcmc_steps=5,
    )  # fmt: skip

    def loop(key: Any) -> Any:
        def one(carry: Any) -> Any:
            state, log_z, key = carry
            key, now = jax.random.split(key)
            state, info = smc.step(now, state)
            return state, log_z + info.log_likelihood_increment, key

        first = smc.init(jax.random.normal(key, (n, D)))
        return jax.lax.while_loop(lambda c: c[0].tempering_param < 1, one, (first, jnp.zeros(()), key))[1]

    theirs = jax.jit(loop).lower(KEY).compile()
    return ours_tempering(Tempering(HMC(0.6, 5, None, diagonal=True), 5, 0.5, False), n), lambda: theirs(KEY)


def ours_tempering(sampler: Tempering, n: int) -> Callable[[], Any]:
    """A compiled run."""

    def one(key: Any) -> Any:
        return sampler.run(key, n, lambda k: jax.random.normal(k, (D,)), log_prior, log_target).log_z

    compiled = jax.jit(one).lower(KEY).compile()
    return lambda: compiled(KEY)


def ddsmc(groups: int, n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """log Z (groups,) of the mixture problem, dx = 8, dy = 1, 20 points of the grid: ours, a numpy loop."""
    from genkit_inverse import problems

    prior, observation = problems.instance(0, 0, 8, 1)
    method = DDSMC(times=problems.times(20)).table(prior.process)
    draw = jax.jit(partial(posterior, groups=groups, particles=n))
    operator = observation.operator
    s, std, y = float(operator.s[0]), float(observation.std), float(observation.coordinates[0])
    means = np.asarray(operator.to_basis(jnp.asarray(prior.means)), np.float32)
    log_w, ab = np.asarray(prior.log_w, np.float32), problems.abar()[problems.indices(20)].astype(np.float32)
    seed = np.random.SeedSequence(0)

    def normal(x: Any, mean: Any, var: Any) -> Any:
        return -0.5 * ((x - mean) ** 2 / var + np.log(2 * np.pi * var))

    def theirs() -> np.ndarray:
        rng = np.random.default_rng(seed)

        def reconstruct(x: np.ndarray, a: Any) -> np.ndarray:
            logits = np.sqrt(a) * x @ means.T - a * (means**2).sum(1) / 2 + log_w
            r = np.exp(logits - logits.max(-1, keepdims=True))
            r /= r.sum(-1, keepdims=True)
            return np.sqrt(a) * x + (1 - a) * (r @ means)

        def surrogate(x0: np.ndarray, rho2: Any) -> np.ndarray:
            return normal(y, s * x0[..., 0], std**2 + rho2 * s**2)

        x = rng.standard_normal((groups, n, 8), np.float32)
        x0, rho2 = reconstruct(x, ab[-1]), (1 - ab[-1]) / 2
        lik = surrogate(x0, rho2)
        weight, log_z = lik, np.zeros(groups)
        for a in ab[-2::-1]:
            top = weight.max(1, keepdims=True)
            w = np.exp(weight - top)
            log_z += top[:, 0] + np.log(w.mean(1))
            ends = np.cumsum(w, 1) / w.sum(1, keepdims=True)
            u = (np.arange(n) + rng.random((groups, 1))) / n
            parents = np.stack([np.searchsorted(e, v).clip(max=n - 1) for e, v in zip(ends, u, strict=True)])
            x0, lik = np.take_along_axis(x0, parents[..., None], 1), np.take_along_axis(lik, parents, 1)
            if a == 1:
                weight = surrogate(x0, 0.0) - lik
                break
            prior_mean, lam2 = np.sqrt(a) * x0, 1 - a
            use2 = min(rho2, (1 - 1e-3) * lam2 / a)
            gain = use2 * s / (s**2 * use2 + std**2)
            mean, var = prior_mean.copy(), np.full(8, lam2)
            mean[..., 0] += np.sqrt(a) * gain * (y - s * x0[..., 0])
            var[0] -= a * use2 * gain * s
            x = mean + np.sqrt(var, dtype=np.float32) * rng.standard_normal(x.shape, np.float32)
            ratio = (normal(x, prior_mean, lam2) - normal(x, mean, var)).sum(-1)
            x0, rho2 = reconstruct(x, a), (1 - a) / 2
            new = surrogate(x0, rho2)
            weight, lik = new + ratio - lik, new
        top = weight.max(1, keepdims=True)
        return log_z + top[:, 0] + np.log(np.exp(weight - top).mean(1))

    return lambda: draw(KEY, method, prior, observation).log_z, theirs


def mean_of(log_z: Any) -> tuple[float, float]:
    """log of the mean of Z, and its standard error."""
    log_z = np.atleast_1d(np.asarray(log_z, np.float64))
    z = np.exp(log_z - log_z.max())
    return float(log_z.max() + np.log(z.mean())), float(z.std() / z.mean() / len(z) ** 0.5)


@dataclass(frozen=True)
class SMCPeers:
    """Time of a run divided by that of a peer: below 1 is faster. Both estimate the same log Z first."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Bootstrap filters, adaptive tempering, DDSMC."""
        try:
            import particles

            import genkit_inverse
        except ImportError as error:
            raise GenkitError(f"peers need particles and genkit-inverse ({error}); install them") from None
        del genkit_inverse, particles
        few = profile == "smoke"
        exact = LinearGaussian().kalman_loglik(SERIES)
        sizes, m, groups = ((100,), 100, 2) if few else ((1000, 10_000), 4000, 80)
        wide = 100.0 if few else 1.0
        cases = (  # the last number is about three standard deviations of log Z in one run, of either toolkit
            *((f"bootstrap filter, {n} particles", "particles", filters(n), exact, 0.6) for n in sizes),
            (f"waste-free tempering, {m} states", "particles", tempering_particles(m), log_evidence(), 2.5),
            (f"tempering by HMC, {m} particles", "blackjax", tempering_blackjax(m), log_evidence(), 0.6),
        )
        for name, peer, (ours, theirs), log_z, off in cases:
            for who, call in (("genkit", ours), (peer, theirs)):
                value = float(call())
                yield Row(f"{name}: log Z of {who}", value, "", log_z, wide * off / abs(log_z), "closed form")
            yield Timed(name, ours, {}, (peer, theirs))
        ours, theirs = ddsmc(groups, 256)
        (a, sd_a), (b, sd_b) = mean_of(ours()), mean_of(theirs())
        off = wide * 4 * (sd_a**2 + sd_b**2) ** 0.5
        name = f"DDSMC, {groups} groups of 256 particles"
        yield Row(f"{name}: log Z of genkit", a, "", b, off / abs(b), "numpy loop, 4 standard errors")
        yield Timed(name, ours, {}, ("numpy loop", theirs))
