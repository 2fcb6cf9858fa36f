"""Factor graphs of discrete variables, any number of variables a factor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.chain import Kernel, Model, State
from genkit.errors import UsageError
from genkit.smc.graphs.elimination import eliminate
from genkit.smc.graphs.orders import check_order
from genkit.smc.graphs.propagation import Messages, belief_propagation, to_factors
from genkit.smc.resampling import ess
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Factors:
    """F factors of equally many variables, a each."""

    scope: tuple[tuple[int, ...], ...] = field(metadata={"static": True})
    """F times the a variables of a factor; the same ones may come twice."""
    table: Any
    """(F, K, ..., K) log-potentials, an axis a variable in the order of the scope; -inf excludes values"""

    @property
    def places(self) -> np.ndarray:
        """The scope as an array, (F, a) int."""
        return np.array(self.scope, int)


@register_dataclass
@dataclass(frozen=True)
class FactorGraph:
    """p(x) = exp(sum_v unary_v(x_v) + sum of the factors) / Z of V variables with K values each.

    Potentials that are NaN or +inf are refused. A variable with fewer values has -inf beyond them.
    """

    unary: Any
    """(V, K)"""
    factors: tuple[Factors, ...] = ()
    """Those of one variable belong to `unary`; a group for each number of variables is best."""

    approximations: ClassVar[dict[str, Callable[..., Messages]]] = {"lbp": belief_propagation}

    def __post_init__(self) -> None:
        """Check shapes, scopes and potentials."""
        if not isinstance(self.unary, (np.ndarray, jax.Array)):
            return  # a structure without arrays
        v, k = self.unary.shape
        _check_potentials("unary", self.unary)
        for group in self.factors:
            f, a = len(group.scope), len(group.scope[0]) if group.scope else 2
            if group.table.shape != (f, *(k,) * a):
                raise UsageError(f"table has shape {group.table.shape}; expected {(f, *(k,) * a)}, {f} factors of {a}")
            for scope in group.scope:
                if len(set(scope)) < max(a, 2) or not (0 <= min(scope) and max(scope) < v):
                    raise UsageError(f"factor {scope} is not of {max(a, 2)} different variables of 0..{v - 1}")
            _check_potentials("table", group.table)

    def log_prob(self, x: Array) -> Array:
        """Unnormalised, (n,) for values x (n, V)."""
        total = jnp.take_along_axis(jnp.asarray(self.unary)[None], x[..., None], 2)[..., 0].sum(1)
        for group in self.factors:
            at = tuple(x[:, column] for column in group.places.T)
            total += jnp.asarray(group.table)[(np.arange(len(group.scope)), *at)].sum(1)
        return total

    def neighbours(self) -> list[set[int]]:
        """For each variable those that share a factor with it."""
        found: list[set[int]] = [set() for _ in range(len(self.unary))]
        for group in self.factors:
            for scope in group.scope:
                for v in scope:
                    found[v].update(scope)
        return [near - {v} for v, near in enumerate(found)]

    def exact(self) -> float | None:
        """log Z by eliminating one variable after the other; None where a table would get too large."""
        factors = [(s, t) for g in self.factors for s, t in zip(g.scope, np.asarray(g.table, np.float64), strict=True)]
        return eliminate(np.asarray(self.unary, np.float64), factors, self.neighbours())

    def model(self, messages: Messages | None = None, order: Sequence[int] | None = None) -> Model:
        """Feynman-Kac model whose particles end as values x (n, V) of all variables; log_z is that of the graph.

        Values are drawn in the `order` of the variables, by enumeration (fully adapted). A factor of which only some
        variables have values enters summed over the others under the messages from these; of pairs that is the
        message itself, the twisting of the paper. On a tree, in an order in which each variable hangs on what is
        there (from a root to the leaves), the estimate of Z is exact for any number of particles. None is plain SMC:
        a factor enters with its last variable. `State.shared` is the effective sample size by the last variable.
        """
        return _model(self, messages, tuple(check_order(order, len(self.unary)).tolist()))


def factor_graph(values: Sequence[int], factors: Iterable[tuple[Sequence[int], Any]]) -> FactorGraph:
    """The graph of variables with `values[v]` values each.

    Args:
        values: how many values each variable has, V numbers.
        factors: (variables, table of log-potentials with an axis for each); any number of variables, one included.
    """
    v, k = len(values), max(values)
    unary = np.where(np.arange(k) < np.array(values)[:, None], 0.0, -np.inf)
    groups: dict[int, list[tuple[tuple[int, ...], np.ndarray]]] = {}
    for scope, table in factors:
        scope, table = tuple(int(i) for i in scope), np.asarray(table, np.float64)
        if not scope or not (0 <= min(scope) and max(scope) < v):
            raise UsageError(f"factor {scope} is not of variables of 0..{v - 1}")
        sizes = tuple(values[i] for i in scope)
        if table.shape != sizes:
            raise UsageError(f"factor {scope} has a table of shape {table.shape}; expected {sizes}, an axis a variable")
        full = np.pad(table, [(0, k - size) for size in sizes])
        if len(scope) == 1:
            _check_potentials("unary", full)
            unary[scope[0]] += full
        else:
            groups.setdefault(len(scope), []).append((scope, full))
    return FactorGraph(
        unary, tuple(Factors(tuple(s for s, _ in some), np.stack([t for _, t in some])) for some in groups.values())
    )


@register_dataclass
@dataclass(frozen=True)
class Met:
    """Factors that reach a variable when s others of theirs have values, D at most."""

    before: Any
    """(D, s) these others"""
    gain: Any
    """(D, K^s, K) what the variable adds to the factor; 0 beyond the last"""


@register_dataclass
@dataclass(frozen=True)
class Site:
    """What one variable meets; leaves (V, ...) in a stage."""

    place: Any
    """() the variable"""
    own: Any
    """(K,) its potential, and that of factors which it is the first to meet"""
    meets: tuple[Met, ...]


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """No variable has a value yet; weight 1."""

    values: int = field(metadata={"static": True})
    sites: int = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Array, None]:
        """Particles, no potential."""
        return jnp.zeros((keys.shape[0], self.sites), jnp.int8 if self.values <= 127 else jnp.int32), None


@register_dataclass
@dataclass(frozen=True)
class Assign(Kernel):
    """Value of one more variable, drawn in proportion to the twisted target; inputs are its `Site`.

    The weight is the sum over its values, so it is known before the draw.
    """

    def plan(self, key: Array, state: State, u: Site) -> tuple[tuple[Array, Array], Array]:
        """Enumerate the values; the effective sample size by their sums is for whoever watches."""
        table = jnp.broadcast_to(u.own, (state.p.shape[0], u.own.shape[0])).astype(state.log_w.dtype)
        for met in u.meets:
            d, _, k = met.gain.shape
            x = state.p[:, met.before].astype(jnp.int32)  # (n, D, s)
            index = x @ (k ** np.arange(met.before.shape[-1])[::-1]).astype(np.int32)
            table += met.gain[np.arange(d), index].sum(1).astype(table.dtype)
        return (u.place, table), ess(state.log_w + jax.nn.logsumexp(table, axis=1)).astype(state.shared.dtype)

    def look(self, keys: Array, p: Array, u: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        """Their sums."""
        return (p, u[1]), jax.nn.logsumexp(u[1], axis=1)

    def move(self, keys: Array, p: tuple[Array, Array], u: tuple[Array, Array]) -> Array:
        """Draw one."""
        x, table = p
        return x.at[:, u[0]].set(jax.vmap(jax.random.categorical)(written_out(keys), table).astype(x.dtype))


@partial(jax.jit, static_argnames="order")
def _model(graph: FactorGraph, messages: Messages | None, order: tuple[int, ...]) -> Model:
    unary = jnp.asarray(graph.unary, float)
    v, k = unary.shape
    place = np.array(order)
    rank = np.argsort(place)
    own, meets = unary, []
    incoming = None if messages is None else to_factors(graph, messages)
    for g, group in enumerate(graph.factors):
        scope, by_rank, table = _sorted(group, rank, k)
        heard = None if incoming is None else jnp.take_along_axis(incoming[g], by_rank[..., None], 1)
        for s, gain in enumerate(_gains(table, heard)):
            if s == 0:
                own = own + jax.ops.segment_sum(gain, scope[:, 0], v)
            else:
                meets.append(_met(scope[:, :s], rank[scope[:, s]], gain.reshape(len(scope), -1, k), v))
    inputs = Site(place, own[place], tuple(meets))
    return Model(Begin(k, v), ((Assign(), inputs),), jnp.zeros((), float))


def _sorted(group: Factors, rank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, Array]:
    """Scopes in the order of the variables (F, a), where these places were (F, a), tables with their axes so."""
    places = group.places
    f, a = places.shape
    by_rank = np.argsort(rank[places], axis=1, kind="stable")
    strides = k ** np.arange(a)[::-1]
    values = np.indices((k,) * a).reshape(a, -1)
    flat = jnp.asarray(group.table, float).reshape(f, -1)
    table = jnp.take_along_axis(flat, strides[by_rank] @ values, 1).reshape(f, *(k,) * a)
    return np.take_along_axis(places, by_rank, 1), by_rank, table


def _gains(table: Array, heard: Array | None) -> list[Array]:
    """What the s-th variable of each factor adds: sums over the later ones, over the same without it."""
    a = table.ndim - 1
    sums = [table]
    for s in reversed(range(1, a)):  # over variable s, as the messages to the factor weigh it
        if heard is None:
            sums.append(jnp.zeros(table.shape[: s + 1], table.dtype))
        else:
            weight = heard[:, s].reshape(-1, *(1,) * s, table.shape[-1])
            sums.append(jax.nn.logsumexp(sums[-1] + weight, axis=-1))
    sums.reverse()
    gains = [sums[0]]
    for less, more in zip(sums[:-1], sums[1:], strict=True):
        dead = (less == -jnp.inf)[..., None]
        gains.append(jnp.where(dead, -jnp.inf, more - jnp.where(dead, 0.0, less[..., None])))
    return gains


def _met(before: np.ndarray, step: np.ndarray, gain: Array, v: int) -> Met:
    """Factors by the step at which they meet their next variable, padded: leaves (V, D, ...)."""
    each = [np.flatnonzero(step == t) for t in range(v)]
    most = max(1, *(len(e) for e in each))
    none = len(before)  # of a row of zeros
    padded = np.array([np.pad(e, (0, most - len(e)), constant_values=none) for e in each])
    return Met(
        np.concatenate([before, np.zeros((1, before.shape[1]), int)])[padded],
        jnp.concatenate([gain, jnp.zeros((1, *gain.shape[1:]), gain.dtype)])[padded],
    )


def _check_potentials(name: str, table: Any) -> None:
    if isinstance(table, Tracer):
        return
    values = np.asarray(table)
    if not (values < np.inf).all():  # NaN too
        raise UsageError(
            f"{name} has a log-potential that is NaN or +inf; expected numbers, or -inf for what is excluded"
        )
