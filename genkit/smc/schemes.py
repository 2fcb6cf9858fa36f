"""Resampling schemes: (key, log_w (n,), m) -> idx (m,) int32, the parents of m children.

All are unbiased: parent i has on average m W_i children, W = exp(log_w) / sum. Weights of zero (-inf) have no children;
if all are zero they count as equal. Time and memory are O(n + m), with a factor log n where a scheme searches.
Shares are summed in whole numbers, which is exact in any order: equal weights tie, a zero weight takes no part of the
sum, and the fraction of a child is not lost beside the number of those before it.
Overview: Gerber, Chopin, Whiteley, Negative association, ordering and convergence of resampling methods (2019).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genkit.errors import UsageError
from genkit.threefry import written_out

Array = jax.Array
Scheme = Callable[[Array, Array, int], Array]

UNROLL = 8  # steps of a loop over particles that are compiled as one: twice as fast, more is slower


def multinomial(key: Array, log_w: Array, m: int) -> Array:
    """Independent children: O_i binomial with variance m W_i (1 - W_i); sorted, by exponential spacings."""
    w = weights(log_w)
    return _find(_cumulative(w, m), _sorted_uniforms(key, m, m, w.dtype))


def stratified(key: Array, log_w: Array, m: int) -> Array:
    """One uniform in each of m strata, positions (k + U_k) / m: |O_i - m W_i| < 2."""
    w = weights(log_w)
    return _expand(_below(_cumulative(w, m), m, _uniforms(key, m, w.dtype)), m)


def systematic(key: Array, log_w: Array, m: int) -> Array:
    """One uniform U and the positions (k + U) / m: floor or ceil of m W_i children. Equal weights give 0..n-1."""
    w = weights(log_w)
    return _expand(_below(_cumulative(w, m), m, jax.random.uniform(key, (1,), w.dtype)), m)


def residual(key: Array, log_w: Array, m: int) -> Array:
    """floor(m W_i) children each, the other ones multinomial by what is left: Liu and Chen 1998."""
    whole, rest = _split(weights(log_w), m)
    ends = _cumsum(whole)
    left = m - ends[-1]
    drawn = _find(_cumulative(rest, m), _sorted_uniforms(key, m, left, rest.dtype))
    k = jnp.arange(m)
    return jnp.where(k < ends[-1], _expand(ends, m), jnp.roll(drawn, m - left)).astype(jnp.int32)


def ssp(key: Array, log_w: Array, m: int) -> Array:
    """Srinivasan sampling process: floor or floor + 1 of m W_i children, consistent unlike systematic.

    Gerber, Chopin, Whiteley 2019. Two fractions at a time share their sum until one is 0 or 1.
    """
    whole, rest = _split(weights(log_w), m)
    n = rest.shape[0]

    def pair(carry: tuple[Array, Array], other: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (i, x), (j, y, u) = carry, other
        total = x + y
        # at most 1: one of them takes all of it; above: one gets a child, the other what is left
        small = total <= 1
        stay = jnp.where(small, u * total >= y, u * (2 - total) < 1 - x)
        first, second = jnp.where(stay, i, j), jnp.where(stay, j, i)
        return (first, jnp.where(small, total, total - 1)), jnp.where(small, n, second)

    others = (jnp.arange(1, n), rest[1:], _uniforms(key, n - 1, rest.dtype))
    (last, _), gained = jax.lax.scan(pair, (jnp.zeros((), int), rest[0]), others, unroll=UNROLL)
    o = whole.at[gained].add(1, mode="drop")
    missing = m - o.sum(dtype=o.dtype)  # the last fraction is 0 or 1 up to round-off
    return _expand(_cumsum(o.at[last].add(missing)), m)


def branching(key: Array, log_w: Array, m: int) -> Array:
    """Minimal-variance branching: floor or floor + 1 of m W_i children, one pass, a fixed total.

    Crisan and Lyons 2002; Bain and Crisan, Fundamentals of Stochastic Filtering (2009).
    `g` is the fraction of what the particles from here on should have, `extra` whether they have one more.
    """
    whole, rest = _split(weights(log_w), m)

    def one(carry: tuple[Array, Array], x: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (g, extra), (f, u) = carry, x
        borrow = f > g
        keep = jnp.where(borrow, u * (1 - g) < f - g, u * g <= g - f)  # leaves `extra` to the others
        gain = jnp.where(keep, borrow, extra)
        return (jnp.where(borrow, g - f + 1, g - f), jnp.where(keep, extra, borrow)), gain

    others = (rest, _uniforms(key, rest.shape[0], rest.dtype))
    _, gain = jax.lax.scan(one, (jnp.zeros((), rest.dtype), jnp.zeros((), bool)), others, unroll=UNROLL)
    o = whole + gain
    missing = m - o.sum(dtype=o.dtype)  # by round-off
    return _expand(_cumsum(o.at[jnp.argmax(whole + rest)].add(missing)), m)


def killing(key: Array, log_w: Array, m: int) -> Array:
    """Particle k stays in its place with probability W_k / max W, else its place is drawn from all; m = n.

    Del Moral, Feynman-Kac Formulae (2004). Equal weights change nothing.
    """
    w = _square(log_w, m, "killing")
    live, drawn = jax.random.uniform(written_out(key), (2, m), w.dtype)
    return jnp.where(live < w, jnp.arange(m, dtype=jnp.int32), _find(_cumulative(w, m), drawn))


# Conditional versions, for conditional SMC: the law of the scheme (after a random rotation of the children, which makes
# each child a draw from W) given that child 0 descends from parent 0. Chopin and Singh 2015; Karppinen, Singh,
# Vihola 2022.


def conditional_multinomial(key: Array, log_w: Array, m: int) -> Array:
    """Child 0 from parent 0, the others independent."""
    return jnp.concatenate([jnp.zeros(1, jnp.int32), multinomial(key, log_w, m - 1)])


def conditional_systematic(key: Array, log_w: Array, m: int) -> Array:
    """U by the number of children that it gives to parent 0, one of which becomes child 0."""
    w = weights(log_w)
    c = _cumulative(w, m)
    u, side, pick = jax.random.uniform(key, (3,), w.dtype)
    own = c[0] * (m / c[-1].astype(w.dtype))
    whole = jnp.floor(own)
    rest = own - whole
    more = side * own < rest * (whole + 1)  # U < rest: floor + 1 children
    u = jnp.where(more, rest * u, rest + (1 - rest) * u)
    ends = _below(c, m, u[None])
    return jnp.roll(_expand(ends, m), -jnp.floor(pick * ends[0]).astype(jnp.int32)).at[0].set(0)


def conditional_killing(key: Array, log_w: Array, m: int) -> Array:
    """A place s by its chance to get a child of parent 0, the others as in `killing`; rotated by s; m = n."""
    w = _square(log_w, m, "conditional_killing")
    there, here = jax.random.split(key)
    chance = (1 - w) * w[0] / w.sum() + jnp.where(jnp.arange(m) == 0, w[0], 0.0)
    s = jax.random.categorical(there, jnp.log(chance))
    return jnp.roll(killing(here, log_w, m).at[s].set(0), -s)


def _square(log_w: Array, m: int, name: str) -> Array:
    """Weights, for schemes with as many children as parents."""
    if log_w.shape[0] != m:
        raise UsageError(f"{name} has as many children as parents; got {log_w.shape[0]} parents for {m} children")
    return weights(log_w)


def _split(w: Array, m: int) -> tuple[Array, Array]:
    """Whole number and fraction of m W_i."""
    share = w * m / w.sum()
    whole = jnp.floor(share)
    return whole.astype(jnp.int32), share - whole


def _uniforms(key: Array, n: int, dtype: Any) -> Array:
    """(n,) uniforms, made as an even number of them: XLA takes several times as long for an odd one on the CPU."""
    return jax.random.uniform(written_out(key), (n + n % 2,), dtype)[:n]


def _sorted_uniforms(key: Array, m: int, count: Array | int, dtype: Any) -> Array:
    """In the first `count` of m places, `count` independent uniforms in order, up to round-off."""
    z = _cumsum(-jnp.log(1 - _uniforms(key, m + 1, dtype)))
    return z[:-1] / z[count]


def _find(c: Array, u: Array) -> Array:
    """First i with c_i / c_n > u, for u (m,) in [0, 1): bisection within the one of m buckets in which u lies."""
    m, target = u.shape[0], (u * c[-1]).astype(c.dtype)
    scale = m / jnp.maximum(c[-1], 1).astype(u.dtype)  # of `residual` nothing may be left

    def bucket(x: Array) -> Array:  # never decreases with x, whatever the rounding
        return jnp.clip(jnp.floor(x * scale), 0, m - 1).astype(jnp.int32)

    ends = _cumsum(jnp.zeros(m, jnp.int32).at[bucket(c)].add(1))
    at = bucket(target)
    low = jnp.where(at > 0, ends[at - 1], 0)

    def halve(interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        mid = (low + high) // 2
        above = c[jnp.minimum(mid, c.shape[0] - 1)] > target
        return jnp.where(above, low, jnp.minimum(mid + 1, high)), jnp.where(above, mid, high)

    low, _ = jax.lax.while_loop(lambda x: (x[0] < x[1]).any(), halve, (low, ends[at]))
    return jnp.minimum(low, jnp.argmax(c).astype(jnp.int32))


def weights(log_w: Array) -> Array:
    """Weights (n,) of at least float32 with maximum 1; all 1 if all are zero."""
    log_w = log_w.astype(jnp.promote_types(log_w.dtype, jnp.float32))
    top = log_w.max()
    return jnp.where(top == -jnp.inf, 1.0, jnp.exp(log_w - jnp.where(top == -jnp.inf, 0.0, top)))


def _cumulative(w: Array, m: int) -> Array:
    """Cumulative sums (n,) of w >= 0 in whole numbers: rounded to 2^-30 of the total (float64: 2^-62), or a little
    more beyond 2^22 children, so that the estimate in `_below` stays near enough."""
    m = int(m)  # numpy's integers wrap around and have no bit_length
    bits, kind = (62, jnp.uint64) if w.dtype == jnp.float64 else (30, jnp.uint32)
    scale = 2.0 ** (bits - (m >> 22).bit_length()) / jnp.maximum(w.sum(), jnp.finfo(w.dtype).tiny)
    return _cumsum(jnp.round(w * scale).astype(kind))


def _below(c: Array, m: int, u: Array) -> Array:
    """How many of the positions (k + u_k) / m, k = 0..m-1, lie below c_i / c_n, (n,) int32; u (m,), or (1,) for all.

    With k = floor(m c_i / c_n) estimated in floating point, the remainder m c_i - k c_n is exact in whole numbers that
    wrap around: the estimate is off by a few at most.
    """
    total, signed = c[-1], jnp.int32 if c.dtype == jnp.uint32 else jnp.int64
    size = total.astype(u.dtype)
    guess = jnp.floor(c * (m / size)).astype(c.dtype)
    rest = (c * c.dtype.type(m) - guess * total).astype(signed).astype(u.dtype) / size
    off = jnp.floor(rest)
    k = jnp.clip(guess.astype(jnp.int32) + off.astype(jnp.int32), 0, m - 1)
    ends = k + (u[k % u.shape[0]] < rest - off)
    return jnp.where(c == total, m, ends)


def _expand(ends: Array, m: int) -> Array:
    """Parents (m,); the children of parent i end before place ends_i, (n,) int, non-decreasing, the last of them m."""
    return _cumsum(jnp.zeros(m, jnp.int32).at[ends].add(1, mode="drop"))


def _cumsum(x: Array, width: int = 16) -> Array:
    """Cumulative sums (n,); on the CPU by rows of a matrix, several times as fast as XLA's."""

    def by_rows(x: Array) -> Array:
        n = x.shape[0]
        rows = -(-n // width)
        upper = jnp.triu(jnp.ones((width, width), x.dtype))
        y = jnp.matmul(jnp.pad(x, (0, rows * width - n)).reshape(rows, width), upper)
        if rows > 1:
            y = y.at[1:].add(by_rows(y[:, -1])[:-1, None])
        return y.reshape(-1)[:n]

    return jax.lax.platform_dependent(x, cpu=by_rows, default=jnp.cumsum)
