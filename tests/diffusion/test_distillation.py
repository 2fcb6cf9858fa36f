"""Distillation on Gaussians, where consistency functions and teachers are exact."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import (
    EDM,
    VP,
    Consistency,
    ConsistencyFunction,
    EDMDenoiser,
    Euler,
    Flow,
    Process,
    consistency_loss,
    per_item,
    progressive_loss,
    progressive_target,
    pseudo_huber,
    sample,
    squared,
)
from genkit.diffusion.distillation import heun_step
from genkit.errors import UsageError
from genkit.testing import gaussian_denoiser, gaussian_moments
from genkit.tree import register_dataclass

KEY, STD, EPS = jax.random.key(0), 0.5, 0.002


@jax.tree_util.Partial
def exact(x, t, cond=None):
    """The consistency function of N(0, STD^2)."""
    return x * jnp.sqrt((STD**2 + EPS**2) / (STD**2 + per_item(t, x) ** 2))


def gain(s):
    return np.sqrt((STD**2 + EPS**2) / (STD**2 + s**2))


@pytest.mark.parametrize("process", [EDM(), VP(), Flow()], ids=lambda p: type(p).__name__)
def test_boundary_of_the_consistency_function(process):
    def network(params, x, c_noise, cond):
        return jnp.sin(3 * x) + c_noise[:, None]

    with jax.enable_x64(True):
        x = jax.random.normal(KEY, (3, 2))
        f = ConsistencyFunction(network, None, STD, EPS, process)
        t = jnp.asarray(process.time(np.float64(EPS)))
        np.testing.assert_allclose(f(x, t), x / process.alpha(t), rtol=1e-9)
        # and its coefficients away from it, by hand
        t, s = jnp.asarray(process.time(np.float64(2.0))), 2.0
        y = x / process.alpha(t)
        total, skip = np.hypot(s, STD), STD**2 / ((s - EPS) ** 2 + STD**2)
        raw = jnp.sin(3 * y / total) + np.log(s) / 4
        np.testing.assert_allclose(f(x, t), skip * y + STD * (s - EPS) / total * raw, rtol=1e-9)


def test_consistency_training_loss():
    """For the exact function: mean over k of (g' - g)^2 std^2 + (g' s' - g s)^2."""
    levels = np.geomspace(EPS, 80.0, 6)
    g = gain(levels)
    expected = (np.diff(g) ** 2 * STD**2 + np.diff(g * levels) ** 2).mean()
    x0 = STD * jax.random.normal(KEY, (200_000, 1))
    found = consistency_loss(jax.random.key(1), exact, exact, x0, None, levels)
    np.testing.assert_allclose(found, expected, rtol=0.02)
    weighted = consistency_loss(
        jax.random.key(1), exact, exact, x0, None, levels, weight=lambda low, high: 1 / (high - low)
    )
    expected = ((np.diff(g) ** 2 * STD**2 + np.diff(g * levels) ** 2) / np.diff(levels)).mean()
    np.testing.assert_allclose(weighted, expected, rtol=0.02)


def test_consistency_distillation_of_the_exact_function_vanishes_with_the_step():
    """A Heun step errs by h^3, so the squared distance falls as h^6."""
    with jax.enable_x64(True):
        x0 = STD * jax.random.normal(KEY, (2000, 1))
        teacher = gaussian_denoiser(0.0, STD)
        losses = [
            consistency_loss(jax.random.key(1), exact, exact, x0, None, np.geomspace(0.1, 10.0, n), teacher)
            for n in (41, 81)
        ]
    assert np.log2(losses[0] / losses[1]) == pytest.approx(6, abs=0.4)


def test_gradient_reaches_the_student_alone():
    x0 = STD * jax.random.normal(KEY, (100, 1))

    def loss(a, b):
        student, target = (jax.tree_util.Partial(lambda c, x, t, cond=None: c * x, c) for c in (a, b))
        return consistency_loss(jax.random.key(1), student, target, x0, None, np.geomspace(EPS, 80.0, 6))

    first, second = jax.grad(loss, (0, 1))(0.5, 0.5)
    assert first != 0 and second == 0


def test_heun_step_is_that_of_the_sampler():
    from genkit.diffusion import Heun

    for process in (EDM(), VP(), Flow()):
        denoiser = gaussian_denoiser(0.3, STD, process=process)
        x = sample(KEY, Heun(2, 1.0, 2.0, final=False), denoiser, (3, 1), noise=jnp.arange(3.0)[:, None])
        t, t1 = (jnp.float32(process.time(s)) for s in (2.0, 1.0))
        start = process.sigma(t) * jnp.arange(3.0)[:, None]
        np.testing.assert_allclose(heun_step(denoiser, start, t, t1, None), x, rtol=1e-5)


def test_multistep_consistency_sampling_keeps_the_law():
    """Each pass is exact but for the signal missing at the first level."""
    with jax.enable_x64(True):
        for times in ((80.0,), (80.0, 5.0), (80.0, 5.0, 0.6)):
            sampler = Consistency(times=times)
            assert sampler.nfe == len(times)
            _, variance = gaussian_moments(sampler, exact)
            last = times[-1]
            expected = 80.0**2 * gain(80.0) ** 2
            for s in times[1:]:
                expected = gain(s) ** 2 * (expected + s**2 - EPS**2)
            np.testing.assert_allclose(variance, expected, rtol=1e-10)
            np.testing.assert_allclose(variance, STD**2 + EPS**2, rtol=1e-4, err_msg=str(last))


@pytest.mark.parametrize("process", [EDM(), VP(), Flow()], ids=lambda p: type(p).__name__)
def test_progressive_target_is_two_steps_in_one(process):
    with jax.enable_x64(True):
        teacher = gaussian_denoiser(0.3, STD, process=process)
        x = jax.random.normal(KEY, (3, 2))
        t = [jnp.asarray(process.time(np.float64(s))) for s in (4.0, 2.0, 1.0)]
        goal = progressive_target(teacher, x, *t)
        y = x / process.alpha(t[0])
        for s, s1, now in ((4.0, 2.0, t[0]), (2.0, 1.0, t[1])):
            d = teacher(process.alpha(now) * y, now)
            y = d + s1 / s * (y - d)
        np.testing.assert_allclose(goal + 0.25 * (x / process.alpha(t[0]) - goal), y, rtol=1e-12)


@register_dataclass
@dataclass(frozen=True)
class Student:
    """Two teacher steps of a Gaussian in one, exactly, between the levels 4, 2, 1."""

    scale: Any
    process: Process = field(default=EDM(), metadata={"static": True})

    def __call__(self, x, t, cond=None):
        t = jnp.asarray(t, x.dtype)
        return self.scale * progressive_target(gaussian_denoiser(0.0, STD), x, t, t / 2, t / 4)

    def loss_weight(self, t):
        return EDMDenoiser(None, None, STD).loss_weight(t)


def test_progressive_loss_of_the_perfect_student():
    x0, times = STD * jax.random.normal(KEY, (50_000, 1)), np.array([4.0, 2.0, 1.0])
    teacher, student = gaussian_denoiser(0.0, STD), Student(1.0)
    assert progressive_loss(KEY, student, teacher, x0, None, times) < 1e-10
    with jax.enable_x64(True):
        found = progressive_loss(KEY, replace(student, scale=1.1), teacher, x0.astype(float), None, times)
        goal = progressive_target(teacher, jnp.ones((1, 1)), 4.0, 2.0, 1.0)[0, 0]  # linear in x
    expected = student.loss_weight(4.0) * (0.1 * goal) ** 2 * (STD**2 + 16.0)
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_student_samples_as_the_teacher_in_half_the_steps():
    with jax.enable_x64(True):
        z = jnp.array([[0.5], [1.0]])
        slow = sample(KEY, Euler(times=(4.0, 2.0, 1.0), final=False), gaussian_denoiser(0.0, STD), (2, 1), noise=z)
        fast = sample(KEY, Euler(times=(4.0, 1.0), final=False), Student(1.0), (2, 1), noise=z)
        np.testing.assert_allclose(fast, slow, rtol=1e-12)


def test_wrong_players():
    x0, vp = jnp.zeros((2, 1)), gaussian_denoiser(0.0, STD, process=VP())
    with pytest.raises(UsageError, match="the student is for EDM.* the denoiser for VP"):
        consistency_loss(KEY, exact, exact, x0, None, np.array([EPS, 1.0]), vp)
    with pytest.raises(UsageError, match="the student is for EDM"):
        progressive_loss(KEY, Student(1.0), vp, x0, None, np.array([4.0, 2.0, 1.0]))
    with pytest.raises(UsageError, match=r"2 times; expected 2 K \+ 1"):
        progressive_loss(KEY, Student(1.0), gaussian_denoiser(), x0, None, np.array([4.0, 2.0]))


def test_metrics():
    a, b = jnp.array([[1.0, 2.0], [0.0, 0.0]]), jnp.array([[1.0, 5.0], [0.0, 0.0]])
    np.testing.assert_allclose(squared(a, b), [4.5, 0])
    c = 0.00054 * 2**0.5
    np.testing.assert_allclose(pseudo_huber(a, b), [np.sqrt(9 + c**2) - c, 0], atol=1e-6)
