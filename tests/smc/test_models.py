"""Published algorithms as models of the one engine, each against its closed form."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from genkit.chain import Kernel, Model, run, start
from genkit.smc import Resample
from genkit.tree import register_dataclass

KEY = jax.random.key(0)
HALF = Resample()


def many(model, n, runs, resample=HALF):
    """End states of independent runs."""

    def one(key):
        return run(key, start(key, model, n), model.stages, resample)[0]

    return jax.jit(jax.vmap(one))(jax.random.split(KEY, runs))


def unbiased(log_z, exact):
    ratio = np.exp(np.asarray(log_z, np.float64) - exact)
    return abs(ratio.mean() - 1) < 4 * ratio.std() / len(ratio) ** 0.5


# Fully adapted discriminator guidance of an autoregressive model of two binary tokens.

P = np.array([[0.2, 0.3], [0.3, 0.2]])
Q = np.array([[0.5, 0.1], [0.15, 0.25]])


@register_dataclass
@dataclass(frozen=True)
class Token(Kernel):
    """All values of the next token by model and ratio W; inputs: its place t, log p W and log W (2, 2), rows by x_1."""

    def look(self, keys, p, u):
        t, joint, _ = u
        table = joint[jnp.where(t == 0, 0, p["x"][:, 0])] - p["log_ratio"][:, None]
        return {**p, "table": table}, jax.nn.logsumexp(table, axis=1)

    def move(self, keys, p, u):
        t, _, ratio = u
        x = jax.vmap(jax.random.categorical)(keys, p["table"])
        log_ratio = ratio[jnp.where(t == 0, 0, p["x"][:, 0]), x]
        return {**p, "x": p["x"].at[:, t].set(x), "log_ratio": log_ratio}


def tokens(first):
    """`first`: the ratio W after one token, (2,)."""
    ratio = np.stack([np.tile(first, (2, 1)), Q / P])
    step = np.stack([np.tile(P.sum(1), (2, 1)), P / P.sum(1, keepdims=True)])
    inputs = (np.arange(2), np.log(step * ratio), np.log(ratio))

    def init(keys):
        n = keys.shape[0]
        return {"x": jnp.zeros((n, 2), jnp.int32), "log_ratio": jnp.zeros(n), "table": jnp.zeros((n, 2))}, None

    return Model(init, ((Token(), inputs),))


def law(end):
    """Frequencies of one token pair a run, drawn by the final weights."""
    keys = jax.random.split(jax.random.key(7), end.log_w.shape[0])
    i = jax.vmap(jax.random.categorical)(keys, end.log_w)
    x = jax.vmap(lambda x, i: x[i])(end.p["x"], i)
    return np.bincount(np.asarray(2 * x[:, 0] + x[:, 1]), minlength=4) / len(x)


def test_two_tokens_fully_adapted():
    runs, se = 20_000, 4 * 0.5 / 20_000**0.5
    exact, wrong = Q.sum(1) / P.sum(1), Q.sum(1) / P.sum(1) * np.array([3.0, 1.0])
    resample = Resample(threshold=0.7, decide_by="before")
    for n in (1, 5):
        end = many(tokens(exact), n, runs, resample)
        np.testing.assert_allclose(law(end), Q.ravel(), atol=se)
        np.testing.assert_allclose(end.log_z, 0, atol=1e-5)
    # a ratio wrong after one token: alone it spoils the law, many particles mend it
    alone = many(tokens(wrong), 1, runs, resample)
    np.testing.assert_allclose(law(alone), [0.681818, 0.136364, 0.068182, 0.113636], atol=se)
    mended = many(tokens(wrong), 100, runs, Resample(threshold=1.0))
    np.testing.assert_allclose(law(mended), Q.ravel(), atol=se + 0.005)
    assert unbiased(alone.log_z, 0) and unbiased(mended.log_z, 0) and mended.log_z.std() > 0.01


# Particle denoising diffusion sampler (Phillips et al. 2024) of N(2.75, 0.25^2).

M, V = 2.75, 0.25


def log_g(x, lam, m=M):
    """log of the density of the target after noise lam, over that of N(0, 1)."""
    return norm.logpdf(x, jnp.sqrt(1 - lam) * m, jnp.sqrt(lam + (1 - lam) * V**2)) - norm.logpdf(x)


@register_dataclass
@dataclass(frozen=True)
class Denoise(Kernel):
    """From noise lam_t to lam_u; inputs: noise of the step, lam_u, and the mean at which potentials are aimed.

    A particle carries x, its log g and the gradient of it.
    """

    def _proposal(self, p, u):
        return jnp.sqrt(1 - u[0]) * p["x"] + u[0] * p["slope"], jnp.sqrt(u[0])

    def move(self, keys, p, u):
        mean, std = self._proposal(p, u)
        return arrive(mean + std * jax.vmap(jax.random.normal)(keys), u[1], u[2])

    def log_g(self, p, p1, u):
        mean, std = self._proposal(p, u)
        ratio = norm.logpdf(p1["x"], jnp.sqrt(1 - u[0]) * p["x"], std) - norm.logpdf(p1["x"], mean, std)
        return ratio + p1["log_g"] - p["log_g"]


def arrive(x, lam, m):
    value, slope = jax.vmap(jax.value_and_grad(log_g), (0, None, None))(x, lam, m)
    return {"x": x, "log_g": value, "slope": slope}


def pdds(steps, aim=M):
    """Cosine schedule; `aim` is the mean that potentials before the last believe in."""
    t = np.linspace(1, 0, steps + 1)
    c = np.cos(np.pi / 2 * (t + 0.008) / 1.008) ** 2
    lam = 1 - c / c[-1]
    between = 1 - (1 - lam[:-1]) / (1 - lam[1:])
    aims = np.append(np.full(steps - 1, aim), M)

    def init(keys):
        p = arrive(jax.vmap(jax.random.normal)(keys), lam[0], aim)
        return p, p["log_g"]

    return Model(init, ((Denoise(), (between, lam[1:], aims)),))


@pytest.mark.parametrize("aim", [M, 2.0])
def test_weights_of_a_denoising_path(aim):
    """One particle's weight is the density of its path forward in time over that of the path as drawn."""
    with jax.enable_x64(True):
        model = pdds(6, aim)
        (kernel, (lam, level, aims)) = model.stages[0]
        begin = start(KEY, model, 1)
        end, kept = run(KEY, begin, model.stages, keep=_x)
        assert kept is not None
        x = np.concatenate([np.asarray(begin.p["x"]), np.ravel(kept[0])])
        drawn, forward = norm.logpdf(x[0]), norm.logpdf(x[-1], M, V)
        for t in range(6):
            slope = jax.grad(log_g)(x[t], 1.0 if t == 0 else level[t - 1], aim)
            drawn += norm.logpdf(x[t + 1], np.sqrt(1 - lam[t]) * x[t] + lam[t] * slope, np.sqrt(lam[t]))
            forward += norm.logpdf(x[t], np.sqrt(1 - lam[t]) * x[t + 1], np.sqrt(lam[t]))
        np.testing.assert_allclose(end.log_z, forward - drawn, rtol=1e-9)


def test_particle_denoising_diffusion_sampler():
    spread = []
    for steps in (8, 32):
        end = many(pdds(steps), 200, 400, Resample(threshold=0.3))
        assert unbiased(end.log_z, 0.0)
        spread.append(float(end.log_z.std()))
        w = np.exp(np.asarray(end.log_w))
        mean = (w * end.p["x"]).sum(1)
        variance = (w * (end.p["x"] - M) ** 2).sum(1)
        for sample, exact in ((mean, M), (variance, V**2)):
            assert abs(sample.mean() - exact) < 4 * sample.std() / 20 + 1e-3
    assert spread[1] < spread[0] / 2


def _x(state):
    return state.p["x"]
