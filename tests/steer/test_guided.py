"""Methods without weights: PiGDM, DPS, DAPS and DDRM, each by what it promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import run, start
from genkit.diffusion import EDM, VP, Flow, Heun, sample
from genkit.errors import UsageError
from genkit.steer import DAPS, DDRM, DPS, MMPS, PiGDM, Poisson, dense, observe, posterior
from genkit.testing import gaussian_denoiser, gmm_denoiser

OBSERVATION = observe(dense([[0.48, 0.64]]), [1.0], 0.5)


@pytest.mark.parametrize(("eta", "steps"), [(0.0, 150), (1.0, 600)])  # the noise makes it converge more slowly
def test_pigdm_is_exact_for_gaussian_data_in_the_limit_of_small_steps(eta, steps):
    """Prior N(0, 4 I), measured 0.8 along one direction: variance 1 / (1 / 4 + 0.64 / 0.25) and mean 3.2 times it."""
    method = PiGDM(steps=steps, sigma_min=0.01, eta=eta, spread=2.0)
    prior = gaussian_denoiser(std=2.0, process=VP())
    draws = posterior(jax.random.key(0), method, prior, OBSERVATION, groups=20_000, particles=1)
    along, across = draws.x[:, 0] @ jnp.array([0.6, 0.8]), draws.x[:, 0] @ jnp.array([-0.8, 0.6])
    variance = 1 / (1 / 4 + 0.64 / 0.25)
    assert along.mean() == pytest.approx(0.8 / 0.25 * variance, abs=0.02)
    assert along.var() == pytest.approx(variance, rel=0.05)
    assert across.var() == pytest.approx(4.0, rel=0.05)
    assert (draws.log_z == 0).all()


def test_a_step_of_dps():
    """x' = the ancestral step - scale grad |y - A D|, in the units of x, with the gradient by jax."""
    prior = gmm_denoiser([0.4, 0.6], [[-1.0, 0.5], [1.0, 0.0]], std=[0.5, 0.7], process=VP())
    t, t1, scale = 0.6, 0.4, 0.3
    a, a1 = (float(VP().alpha(u)) for u in (t, t1))
    s, s1 = (float(VP().ratio(u)) for u in (t, t1))
    with jax.enable_x64(True):
        model = DPS(times=(t, t1), scale=scale).model(prior, OBSERVATION)
        p = start(jax.random.key(0), model, 5).p
        kernel, inputs = model.stages[0]
        u = jax.tree.map(lambda v: jnp.asarray(v[0]), inputs)
        keys = jax.random.split(jax.random.key(1), 5)
        operator = OBSERVATION.operator
        after = operator.from_basis(kernel.move(keys, p, u).z) * a1
        x = operator.from_basis(p.z) * a
        noise = s1 * np.sqrt(s**2 - s1**2) / s * operator.from_basis(kernel.basis.noise(keys))

        def distance(x):
            return jnp.linalg.norm(OBSERVATION.y - operator(prior(x, jnp.asarray(t))), axis=1).sum()

        mean = prior(x, jnp.asarray(t)) + s1**2 / s**2 * (x / a - prior(x, jnp.asarray(t)))
        expected = a1 * (mean + noise) - scale * jax.grad(distance)(x)
        np.testing.assert_allclose(after, expected, atol=1e-10)


@pytest.mark.parametrize("inner", [1, 3, None])
def test_daps_on_a_gaussian(inner):
    """The chain is Gaussian: x_0 = (1 - k) f (x_0 + s eps) + k y / d + noise, with k the share of y."""
    method = DAPS(steps=8, sigma_min=0.2, sigma_max=10.0, inner=inner)
    s = method.levels(EDM()).s
    mean, v, across = 0.0, 0.0, 0.0
    for i, level in enumerate(s):
        most = min(inner or len(s), len(s) - i)
        path = [*s[np.linspace(i, len(s) - 1, most).round().astype(int)], 0.0]
        f = np.prod([(1 + a * b) / (1 + a**2) for a, b in zip(path, path[1:], strict=False)])
        k = level**2 * 0.64 / (level**2 * 0.64 + 0.25)
        mean = (1 - k) * f * mean + k * 1.0 / 0.8
        v = (1 - k) ** 2 * f**2 * (v + level**2) + level**2 * (1 - k)
        across = f**2 * (across + level**2) + level**2
    x = posterior(jax.random.key(0), method, gaussian_denoiser(), OBSERVATION, groups=40_000, particles=1).x[:, 0]
    along, other = x @ jnp.array([0.6, 0.8]), x @ jnp.array([-0.8, 0.6])
    assert along.mean() == pytest.approx(mean, abs=4 * (v / 40_000) ** 0.5)
    assert along.var() == pytest.approx(v, rel=0.03)
    assert other.var() == pytest.approx(across, rel=0.03)


def test_every_state_of_ddrm_has_the_noise_of_its_level():
    """If the network knew x_0, and over the noise of y: theorem 3.2 and proposition 3.1 of the paper."""
    truth, std = jnp.array([0.7, -1.0, 0.0]), 0.5  # what is not measured begins at zero
    operator = dense(np.array([[1.0, 0.0, 0.0], [0.0, 0.1, 0.0]]))  # noise of y / s: 0.5 and 5

    def one(key):
        noise, own = jax.random.split(key)
        y = operator(truth[None])[0] + std * jax.random.normal(noise, (2,))
        model = DDRM(times=(8.0, 3.0, 1.0, 0.2)).model(know, observe(operator, y, std))
        state = start(own, model, 1)
        return jnp.concatenate([state.p.z, run(own, state, model.stages[:1], keep=state_of)[1][0][:, 0]])

    z = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 40_000))
    assert z.shape == (40_000, 4, 3)
    np.testing.assert_allclose(np.asarray(z).var(0).T, np.broadcast_to([64.0, 9.0, 1.0, 0.04], (3, 4)), rtol=0.04)
    x = np.asarray(operator.from_basis(z.reshape(-1, 3)).reshape(z.shape).mean(0))
    assert (np.abs(x - truth) < 4 * np.array([[8.0], [3.0], [1.0], [0.2]]) / 200).all()


def know(x, t, cond):
    """A network that knows x_0."""
    return jnp.broadcast_to(jnp.array([0.7, -1.0, 0.0]), x.shape)


def state_of(state):
    return state.p.z


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: PiGDM(spread=0.0), "spread=0"), (lambda: DPS(scale=-1.0), "scale=-1"),
     (lambda: PiGDM(eta=2.0).table(VP()), "eta=2.0"), (lambda: DAPS(inner=0), "inner=0"),
     (lambda: DDRM(eta_b=1.5), "eta_b=1.5")],
)  # fmt: skip
def test_wrong_options(make, says):
    with pytest.raises(UsageError, match=says):
        make()


PRIOR = np.array([[1.0, 0.3], [0.3, 0.5]])
SUM = observe(dense([[1.0, 1.0]]), [1.0], 0.2)


def law_given(prior):
    """Mean and covariance of x given SUM."""
    gain = prior @ np.ones(2) / (prior.sum() + 0.04)
    return gain, prior - np.outer(gain, prior.sum(0))


@pytest.mark.parametrize("process", [EDM(), VP(), Flow()], ids=lambda p: type(p).__name__)
def test_guided_denoisers_are_exact(process):
    """MMPS for any Gaussian, PiGDM for a round one, at times of each item and at one time."""
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (3, 2))
        times = jnp.asarray(process.time(np.array([0.05, 1.0, 20.0])))
        for t in (times, times[1]):
            for method, cov in ((MMPS(), PRIOR), (PiGDM(spread=0.7), 0.49 * np.eye(2))):
                guided = method.guidance(SUM)(gaussian_denoiser(0.0, cov=cov, process=process))
                mean, left = law_given(cov)
                expected = gaussian_denoiser(mean, cov=left, process=process)(x, t)
                np.testing.assert_allclose(guided(x, t), expected, rtol=1e-7, atol=1e-9)


def test_guided_denoisers_serve_any_sampler():
    guided = MMPS(iterations=1).guidance(SUM)(gaussian_denoiser(0.0, cov=PRIOR))
    x = sample(jax.random.key(0), Heun(40, 0.002), guided, (20_000, 2))
    mean, cov = law_given(PRIOR)
    np.testing.assert_allclose(x.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.015)
    with pytest.raises(UsageError, match="MMPS needs normal noise"):
        MMPS().guidance(observe(dense([[1.0, 1.0]]), [1], Poisson()))(gaussian_denoiser())(x, jnp.asarray(1.0))
