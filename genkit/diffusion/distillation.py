"""Fewer steps: consistency functions and progressive distillation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from genkit.diffusion.denoiser import Denoiser, Network, check_process, denoise, process_of
from genkit.diffusion.process import EDM, Process, per_item
from genkit.diffusion.random import normal
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array
Metric = Callable[[Array, Array], Array]


def squared(a: Array, b: Array) -> Array:
    """Mean squared difference of each item, (n,)."""
    return ((a - b) ** 2).reshape(a.shape[0], -1).mean(1)


def pseudo_huber(a: Array, b: Array) -> Array:
    """sqrt(|a - b|^2 + c^2) - c of each item, (n,), c = .00054 sqrt(d) (Song and Dhariwal 2023, arXiv 2310.14189)."""
    c = 0.00054 * a[0].size ** 0.5
    return jnp.sqrt(((a - b) ** 2).reshape(a.shape[0], -1).sum(1) + c**2) - c


@register_dataclass
@dataclass(frozen=True)
class ConsistencyFunction:
    """A network as a consistency function: f(x, s) = c_skip x + c_out F(c_in x, ln(s)/4) with f(x, epsilon) = x.

    c_skip = s_d^2 / ((s - epsilon)^2 + s_d^2), c_out = s_d (s - epsilon) / sqrt(s^2 + s_d^2) (Song et al. 2023, arXiv
    2303.01469, appendix C), x and s divided by alpha. It maps a state to the end, at level epsilon, of the
    probability-flow ODE through it; `genkit.diffusion.Consistency` samples with it. Arguments as in `EDMDenoiser`.
    """

    network: Network = field(metadata={"static": True})
    params: Any
    sigma_data: Any = 0.5
    epsilon: Any = 0.002
    process: Process = field(default=EDM(), metadata={"static": True})

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """f(x, t), shape of x (n, ...)."""
        t = per_item(t, x)
        x, s = x / self.process.alpha(t), self.process.ratio(t)
        s_d = jnp.asarray(self.sigma_data, x.dtype)
        total = jnp.sqrt(s**2 + s_d**2)
        c_skip, c_out = s_d**2 / ((s - self.epsilon) ** 2 + s_d**2), s_d * (s - self.epsilon) / total
        c_noise = jnp.broadcast_to((jnp.log(s) / 4).reshape(-1), x.shape[:1])
        return c_skip * x + c_out * self.network(self.params, x / total, c_noise, cond).astype(x.dtype)


def consistency_loss(
    key: Array,
    student: Denoiser,
    target: Denoiser,
    x0: Array,
    cond: Any,
    levels: Array,
    teacher: Denoiser | None = None,
    metric: Metric = squared,
    weight: Callable[[Array, Array], Array] | None = None,
) -> Array:
    """Distance of a consistency function to itself one level lower on the same path, a mean over the batch.

    d(f(x_{k+1}, s_{k+1}), stopgrad f'(x_k, s_k)) with k uniform. Without a teacher both states have the same noise
    (consistency training, arXiv 2303.01469, Algorithm 3); with one, x_k is a Heun step of its ODE from x_{k+1}
    (consistency distillation, Algorithm 2).

    Args:
        key: for levels and noise.
        student: f, which is trained.
        target: f', the moving average of f, or f itself.
        x0: data (n, ...).
        cond: what the functions are conditioned on, leaves (n, ...), or None.
        levels: (N,) noise levels sigma / alpha, increasing, the first the epsilon of the functions.
        teacher: a denoiser.
        metric: distance of two batches, (n,).
        weight: ``(s_k, s_{k+1}) -> (n,)``; ones by default, 1 / (s_{k+1} - s_k) in arXiv 2310.14189.
    """
    process = process_of(student)
    if teacher is not None:
        check_process(teacher, process, "the student")
    pick, noise = jax.random.split(key)
    k = jax.random.randint(pick, x0.shape[:1], 0, levels.shape[0] - 1)
    low, high = (process.time(jnp.asarray(levels, x0.dtype)[i]) for i in (k, k + 1))
    z = normal(noise, x0.shape).astype(x0.dtype)

    def at(t: Array) -> Array:
        return process.alpha(per_item(t, x0)) * x0 + process.sigma(per_item(t, x0)) * z

    x = at(high)
    lower = at(low) if teacher is None else heun_step(teacher, x, high, low, cond)
    goal = jax.lax.stop_gradient(denoise(target, lower, low, cond))
    distance = metric(denoise(student, x, high, cond), goal)
    if weight is not None:
        distance = distance * weight(process.ratio(low), process.ratio(high))
    return distance.mean()


def heun_step(denoiser: Denoiser, x: Array, t: Array, t1: Array, cond: Any) -> Array:
    """One Heun step of the probability-flow ODE from times t to t1, each () or (n,)."""
    process = process_of(denoiser)
    a, a1, s, s1 = (f(per_item(u, x)) for f in (process.alpha, process.ratio) for u in (t, t1))
    slope = (x / a - denoise(denoiser, x, t, cond)) / s
    y = x / a + (s1 - s) * slope
    slope1 = (y - denoise(denoiser, a1 * y, t1, cond)) / s1
    return a1 * (x / a + (s1 - s) * (slope + slope1) / 2)


def progressive_target(teacher: Denoiser, x: Array, t: Array, t_mid: Array, t_end: Array, cond: Any = None) -> Array:
    """The denoised value with which one DDIM step from t to t_end does what the teacher does in two, through t_mid.

    Salimans and Ho 2022 (arXiv 2202.00512), Algorithm 2. Times () or (n,); at `t_end` of level zero it is the
    teacher's own value at t_mid. The student is trained towards it with the weights of `denoising_loss`.
    """
    process = process_of(teacher)
    a, a_mid = (process.alpha(per_item(u, x)) for u in (t, t_mid))
    s, s_mid, s_end = (process.ratio(per_item(u, x)) for u in (t, t_mid, t_end))
    d = denoise(teacher, x, t, cond)
    y = d + s_mid / s * (x / a - d)
    d = denoise(teacher, a_mid * y, t_mid, cond)
    y = d + s_end / s_mid * (y - d)
    return (y - s_end / s * (x / a)) / (1 - s_end / s)


def progressive_loss(key: Array, student: Any, teacher: Denoiser, x0: Array, cond: Any, times: Array) -> Array:
    """|student - `progressive_target`|^2 with the student's weight, a mean over the batch and all entries.

    Args:
        key: for times and noise.
        student: a denoiser with `loss_weight`, to sample on every second of the times.
        teacher: a denoiser for all of the times.
        x0: data (n, ...).
        cond: condition, leaves (n, ...), or None.
        times: (2 K + 1,) decreasing.
    """
    process = process_of(student)
    check_process(teacher, process, "the student")
    if times.shape[0] < 3 or times.shape[0] % 2 == 0:
        raise UsageError(f"{times.shape[0]} times; expected 2 K + 1, so that steps can be taken by twos")
    pick, noise = jax.random.split(key)
    k = 2 * jax.random.randint(pick, x0.shape[:1], 0, (times.shape[0] - 1) // 2)
    t, t_mid, t_end = (jnp.asarray(times, x0.dtype)[k + i] for i in range(3))
    x, _ = process.perturb(noise, x0, t)
    goal = jax.lax.stop_gradient(progressive_target(teacher, x, t, t_mid, t_end, cond))
    return ((denoise(student, x, t, cond) - goal) ** 2 * student.loss_weight(per_item(t, x))).mean()
