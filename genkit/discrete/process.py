"""What all noising processes on categories share: laws of x_t, of x_0 given x_t, and of the reverse step.

Sites are independent in the process, and each has one of S states. Rows are "from", columns are "to":
q(x_t | x_0) = Qbar_t[x_0, x_t]. Nothing of size S x S is made for a site: the posterior needs one row and one column,
and its mean over x_0 one product of a vector with the matrix (`push`).
Formulas: Austin et al. 2021, D3PM (arXiv 2107.03006), section 3.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete.random import categorical
from genkit.discrete.schedule import float_time
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Process:
    """A noising process; subclasses say what its matrices are.

    A `level` stands for one matrix, in a form of the subclass's choice. x has any shape, log-probabilities that of x
    and one axis more. A level of leading axis n goes with x (n, ...) through `jax.vmap`.
    """

    log_prior: Any
    """(..., S) log-law of x_t at the noisy end; leading axes, if any, are those of an item's sites."""
    classes: Any = None
    """(..., K) bool, the classes that data may have, by site where K differs; None if all."""
    likelihood: bool = field(default=True, metadata={"static": True})
    """Whether a denoiser's logits are multiplied by the likelihood Qbar_t[i, x_t] of x_0 = i.

    If so the network says what the other sites tell, and what the site itself tells is exact: classes that cannot
    lead to x_t vanish, and a network that knows the marginals only is the exact denoiser of independent sites.
    """
    masking: bool = field(default=False, metadata={"static": True})
    """Whether the last state is a mask symbol, which data never have: then S = K + 1."""

    @property
    def states(self) -> int:
        """S, number of states of a site."""
        return self.log_prior.shape[-1]

    @property
    def data_classes(self) -> int:
        """K, number of classes of data and width of a denoiser's logits."""
        return self.states - self.masking

    def row(self, level: Any, x: Array) -> Array:
        """log Q[x, :], (..., S)."""
        raise NotImplementedError

    def column(self, level: Any, x: Array) -> Array:
        """log Q[:, x], (..., S)."""
        raise NotImplementedError

    def push(self, level: Any, log_u: Array) -> Array:
        """log sum_i u_i Q[i, :] of log_u (..., S)."""
        raise NotImplementedError

    def bar(self, t: Array) -> Any:
        """Level of Qbar_t at float times t of any shape."""
        raise NotImplementedError

    def grid(self, steps: int | None) -> np.ndarray:
        """Times of a sampler, (steps + 1,) float64, from noise to data."""
        raise NotImplementedError

    def intervals(self, times: np.ndarray) -> tuple[Any, Any]:
        """Levels of Qbar at times (N + 1,) and of the N matrices between them, float64 on the host."""
        raise NotImplementedError

    def log_qbar(self, x0: Array, t: Array) -> Array:
        """log q(x_t | x_0), (n, ..., S), for x0 (n, ...) at float times t () or (n,)."""
        t = float_time(t, x0.shape[0])
        return (self.row if t.ndim == 0 else jax.vmap(self.row))(self.bar(t), x0)

    def perturb(self, key: Array, x0: Array, t: Array) -> Array:
        """Draw x_t given x0 (n, ...), int32."""
        return categorical(jax.random.split(key, x0.shape[0]), self.log_qbar(x0, t))

    def posterior(self, step: Any, earlier: Any, x: Array, x0: Array) -> Array:
        """log q(x_s | x_t = x, x_0), (..., S): Q_{t|s}[:, x] Qbar_s[x_0, :], normalised (D3PM eq. 3)."""
        return jax.nn.log_softmax(self.column(step, x) + self.row(earlier, x0))

    def denoised(self, raw: Array, x: Array, bar: Any) -> Array:
        """log p(x_0 | x_t = x), (..., S), from a denoiser's logits (..., K); -inf logits are legal.

        Classes that `classes` or the process exclude get -inf. Where the logits exclude all others, those are taken
        as equal; a state that the process cannot reach excludes none.
        """
        raw = checked(raw, x, self.data_classes)
        likelihood = self.column(bar, x)[..., : self.data_classes]
        legal = jnp.ones_like(raw, bool) if self.classes is None else jnp.broadcast_to(self.classes, raw.shape)
        possible = legal & (likelihood > -jnp.inf)
        logits = only(raw, jnp.where(possible.any(-1, keepdims=True), possible, legal))
        if self.likelihood:
            logits = logits + jnp.where(likelihood > -jnp.inf, likelihood, 0.0)
        logits = jax.nn.log_softmax(logits)
        unused = jnp.full((*x.shape, self.states - self.data_classes), -jnp.inf, logits.dtype)
        return jnp.concatenate([logits, unused], -1)

    def evidence(self, bar: Any, x: Array, log_p: Array) -> Array:
        """log p(x_0) / q(x_t = x | x_0), (..., S), of log p(x_0 | x_t); -inf for an x_0 that cannot lead to x."""
        likelihood = self.column(bar, x)
        return jnp.where(likelihood == -jnp.inf, -jnp.inf, log_p - likelihood)

    def reverse(self, step: Any, earlier: Any, bar: Any, x: Array, log_p: Array) -> Array:
        """log p(x_s | x_t = x) = log sum_i p(x_0 = i | x_t) q(x_s | x_t, x_0 = i), (..., S) (D3PM eq. 4).

        As Q_{t|s}[k, x] sum_i u_i Qbar_s[i, k] with u_i = p_i / Qbar_t[i, x]. A state that the process cannot reach
        stays where it is.
        """
        log_r = self.column(step, x) + self.push(earlier, self.evidence(bar, x, log_p))
        stuck = (log_r == -jnp.inf).all(-1, keepdims=True)
        stay = jnp.where(one_of(x, self.states), 0.0, -jnp.inf)
        return jax.nn.log_softmax(jnp.where(stuck, stay, log_r))


def checked(raw: Any, x: Array, classes: int) -> Array:
    """A denoiser's logits, of at least float32; raises UsageError if they are not (..., K) for x (...)."""
    shape = getattr(raw, "shape", type(raw).__name__)
    if shape != (*x.shape, classes):
        raise UsageError(
            f"the denoiser returned logits of shape {shape} for x of shape {x.shape}; "
            f"expected {(*x.shape, classes)}, one logit a class of x_0"
        )
    return raw.astype(jnp.promote_types(raw.dtype, jnp.float32))


def only(logits: Array, allowed: Array | None) -> Array:
    """-inf for classes that are not allowed; equal logits for the allowed ones if the logits exclude all of them."""
    allowed = jnp.ones_like(logits, bool) if allowed is None else jnp.broadcast_to(allowed, logits.shape)
    logits = jnp.where(allowed, logits, -jnp.inf)
    return jnp.where((logits == -jnp.inf).all(-1, keepdims=True) & allowed, 0.0, logits)


def one_of(x: Array, states: int) -> Array:
    """One-hot of x (...) as bool (..., states)."""
    return x[..., None] == jnp.arange(states)


def logaddexp(a: Array, b: Array) -> Array:
    """log(e^a + e^b); unlike that of jnp its gradient is finite where both are -inf."""
    high, low = jnp.maximum(a, b), jnp.minimum(a, b)
    return high + jnp.log1p(jnp.exp(jnp.where(high > -jnp.inf, low - high, 0.0)))
