"""The loss of D3PM."""

from typing import Any

import jax
import jax.numpy as jnp

from genkit.discrete.factorised import Denoiser, PyTree
from genkit.discrete.process import Process
from genkit.discrete.random import stratified
from genkit.discrete.schedule import FLOOR, Steps, at
from genkit.discrete.transitions import Dense, Mixing
from genkit.errors import UsageError

Array = jax.Array


def d3pm_loss(
    key: Array,
    denoiser: Denoiser,
    x0: PyTree,
    cond: Any,
    process: PyTree,
    mask: PyTree = None,
    bound: float = 1.0,
    ce: float = 0.001,
) -> Array:
    """bound * L_vb + ce * E[-log p(x_0 | x_t)] in nats an item: Austin et al. 2021 (arXiv 2107.03006), eq. 1 and 5.

    L_vb = T E_k KL(q(x_{k-1} | x_k, x_0) | p(x_{k-1} | x_k)), k uniform on 1..T and stratified over the batch; the
    term of k = 1 is -log p(x_0 | x_1), as the posterior is certain there. With `prior_kl`, which no parameter changes,
    it bounds -log p(x_0) of the chain that `Ancestral` runs with all steps. A mean over the batch, a sum over sites.

    Args:
        key: for times and noise.
        denoiser: the denoiser; gets t = k as a float, (n,).
        x0: data (n, ...), int; or parts.
        cond: what the denoiser is conditioned on, leaves (n, ...), or None.
        process: a `Process` in discrete time, or one a part.
        mask: bool, broadcasts with x0 (by part): the sites that are real.
        bound: weight of L_vb; 0 trains by cross-entropy alone, as DiGress does.
        ce: lambda, weight of the cross-entropy; 0.001 in the paper's best model of images.
    """
    length, kl, nll = d3pm_terms(key, denoiser, x0, cond, process, mask)
    terms = jax.tree.map(lambda kl, nll: (bound * length * kl + ce * nll).reshape(len(kl), -1).sum(1).mean(), kl, nll)
    return jnp.stack(jax.tree.leaves(terms)).sum()


def d3pm_terms(
    key: Array, denoiser: Denoiser, x0: PyTree, cond: Any, process: PyTree, mask: PyTree = None
) -> tuple[int, PyTree, PyTree]:
    """What `d3pm_loss` sums, site by site, for losses that weigh sites in another way.

    Arguments are those of `d3pm_loss`. Returns T and, in nats and by part (n, ...), KL(q(x_{k-1} | x_k, x_0) |
    p(x_{k-1} | x_k)) and -log p(x_0 | x_k), zero at sites that are not real; one k an item.
    """
    leaves, tree = jax.tree.flatten(x0)
    parts = tree.flatten_up_to(process)
    k_time, *keys = jax.random.split(key, 1 + len(leaves))
    lengths = {len(jax.tree.leaves(_tables(p))[0]) - 1 for p in parts}
    if len(lengths) > 1:
        raise UsageError(f"the parts of the process have {sorted(lengths)} steps; give them schedules of one length")
    (length,) = lengths
    k = jnp.floor(stratified(k_time, len(leaves[0])) * length) + 1
    noisy = [p.perturb(k_noise, x, k) for p, k_noise, x in zip(parts, keys, leaves, strict=True)]
    answer = tree.flatten_up_to(denoiser(tree.unflatten(noisy), k, cond))

    found = []
    for p, x, xk, raw, real in zip(parts, leaves, noisy, answer, _masks(mask, tree), strict=True):
        bars, steps = _tables(p)
        raw = jnp.where(real[..., None], raw, 0.0)  # what is said of other sites is not used, be it NaN
        terms = jax.vmap(_terms, (None, 0, 0, 0, 0, 0, 0))
        found.append(
            [jnp.where(real, a, 0.0) for a in terms(p, at(steps, k), at(bars, k - 1), at(bars, k), x, xk, raw)]
        )
    kl, nll = zip(*found, strict=True)
    return length, tree.unflatten(kl), tree.unflatten(nll)


def prior_kl(x0: PyTree, process: PyTree, mask: PyTree = None) -> Array:
    """KL(q(x_T | x_0) | prior), (n,) nats: what L_vb lacks.

    Infinite if the noise leaves a trace of x_0 which the prior excludes.
    """
    leaves, tree = jax.tree.flatten(x0)
    total = jnp.zeros(len(leaves[0]))
    for p, x, real in zip(tree.flatten_up_to(process), leaves, _masks(mask, tree), strict=True):
        log_q = p.row(jax.tree.map(lambda a: a[-1], _tables(p)[0]), x)
        log_q = jnp.where(log_q > FLOOR, log_q, -jnp.inf)
        total = total + _sum(_kl(log_q, jnp.broadcast_to(p.log_prior, log_q.shape)), real)
    return total


def _terms(p: Process, step: Any, earlier: Any, bar: Any, x0: Array, x: Array, raw: Array) -> tuple[Array, Array]:
    """KL of the step and -log p(x_0 | x_t), site by site, for one item."""
    log_p = p.denoised(raw, x, bar)
    kl = _kl(p.posterior(step, earlier, x, x0), p.reverse(step, earlier, bar, x, log_p))
    return kl, -jnp.take_along_axis(log_p, x0[..., None], -1)[..., 0]


def _kl(log_q: Array, log_p: Array) -> Array:
    """KL(q | p) over the last axis; the gradient is finite where q is 0."""
    some = log_q > -jnp.inf
    return (jnp.exp(log_q) * jnp.where(some, jnp.where(some, log_q, 0.0) - jnp.where(some, log_p, 0.0), 0.0)).sum(-1)


def _sum(a: Array, mask: Array) -> Array:
    return jnp.where(mask, a, 0.0).reshape(len(a), -1).sum(1)


def _masks(mask: PyTree, tree: Any) -> list[Array]:
    return [jnp.array(True)] * tree.num_leaves if mask is None else tree.flatten_up_to(mask)


def _tables(p: Process) -> tuple[Any, Any]:
    """Levels of Qbar_k and of Q_k, leaves (T + 1, ...)."""
    if isinstance(p, Dense):
        return p.bars, p.step
    if isinstance(p, Mixing) and isinstance(p.schedule, Steps):
        return p.schedule.bar, p.schedule.step
    raise UsageError("d3pm_loss needs a process in discrete time, such as uniform(K, steps(alphas)) or dense(...)")
