"""From a flax NNX module to a pure function of its parameters."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer

from genkit.errors import UsageError
from genkit.threefry import THREEFRY, written_out


@dataclass(frozen=True)
class Apply:
    """The module as a hashable pure function `apply(params, *args, **kwargs)`, fit to be static under `jit`."""

    graph: Any

    def __call__(self, params, *args, **kwargs):
        """Call the module with the given parameters."""
        return self.module(params)(*args, **kwargs)

    def module(self, params) -> Any:
        """The module with the given parameters, for its other methods."""
        return nnx.merge(self.graph, params)


def functional(module: nnx.Module) -> tuple[Apply, Any]:
    """Split a module into a pure function and its parameters, a nested dict of arrays."""
    graph, state = nnx.split(module)
    return Apply(graph), nnx.to_pure_dict(state)


def abstract(build: Callable[[nnx.Rngs], nnx.Module]) -> tuple[Apply, Any]:
    """Like `functional(build(rngs))`, with shapes in place of arrays: nothing is allocated or drawn."""
    return functional(nnx.eval_shape(lambda: build(traced_rngs(0))))


def traced_rngs(key) -> nnx.Rngs:
    """The keys of `nnx.Rngs(key)`, for networks that are built under `jit`.

    flax counts keys in an array. While tracing, each count walks through all that was traced before, so that the time
    to build a network grows as the square of its size. And each key is a hash that is compiled; here one makes many, as
    `fold_in(key, i)` is `split(key, n)[i]` of the default generator. Where it is another one, flax draws. What layers
    draw with these keys has its hash written out, which on the CPU takes a third of the time to compile. So they are
    of another kind (`genkit.threefry`): where one is mixed with JAX's own, or for `jax.random.poisson`, take
    `jax.random.wrap_key_data(jax.random.key_data(key))`.
    """
    rngs, stream = nnx.Rngs(key), _Stream(key, tag="default")
    made_of = stream.key.get_value()
    if jax.config.values["jax_threefry_partitionable"] and str(jax.random.key_impl(made_of)) == "threefry2x32":
        none: Any = np.zeros((), np.uint32)
        stream.keys = _Keys(made_of)
        stream.count.set_value(none)
    setattr(rngs, "default", stream)  # noqa: B010 - a stream is no declared attribute
    return rngs


class _Stream(nnx.RngStream):
    """A stream that looks its keys up as long as its key and count are those of the beginning, and no tracers.

    Within a transformation that flax hands it through they are others, and so they are in a stream that is forked.
    """

    keys: Any = None

    def __init__(self, key: jax.Array | int, *, tag: str):
        if not isinstance(key, int) and str(jax.random.key_impl(key)) == str(THREEFRY):  # of a stream that is forked
            key = jax.random.wrap_key_data(jax.random.key_data(key), impl="threefry2x32")
        super().__init__(key, tag=tag)

    def __call__(self) -> jax.Array:
        count: Any = self.count.get_value()
        if self.keys is None or self.keys.key is not self.key.get_value() or not isinstance(count, np.ndarray):
            self.count.set_value(jnp.asarray(count))
            return super().__call__()
        more: Any = np.asarray(count + 1)
        self.count.set_value(more)  # refused within another transformation, as by flax
        return self.keys(int(count))


class _Keys:
    """The keys that are folded out of one, made many at a time."""

    def __init__(self, key: jax.Array):
        self.key, self.some = key, jax.random.split(written_out(key), 64)

    def __call__(self, i: int) -> jax.Array:
        if i >= len(self.some):
            self.some = jax.random.split(written_out(self.key), 2 * len(self.some))
        if isinstance(self.some, Tracer):
            return jax.lax.index_in_dim(self.some, i, keepdims=False)
        return jax.lax.dynamic_index_in_dim(self.some, i, keepdims=False)  # one program for all of them


@dataclass(frozen=True)
class Net:
    """A network component for given sizes as a pure function `net(params, *args, **kwargs)`, static under `jit`.

    It holds no arrays and no code, so that a trained model can keep it: sizes that are trees of arrays, as graphs, are
    given as their shapes (`shapes_of`).
    """

    component: Any
    """with `build(rngs, *sizes)`"""
    sizes: tuple[Any, ...]

    def __call__(self, params, *args, **kwargs):
        """Call the network with the given parameters. Raises `UsageError` if it takes other arguments."""
        module = self.module(params)
        self._check(module, args, kwargs, "is called with")
        return module(*args, **kwargs)

    def module(self, params) -> Any:
        """The module with the given parameters, for its other methods."""
        return nnx.merge(_graph(self), params)

    def init(self, key: jax.Array) -> Any:
        """Fresh parameters, a nested dict of arrays."""
        return functional(self.build(traced_rngs(key)))[1]

    def shapes(self) -> Any:
        """The parameters as shapes: nothing is allocated or drawn."""
        return abstract(self.build)[1]

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """The module with fresh parameters. Raises `UsageError` if the network is built for other sizes."""
        self._check(self.component.build, (rngs, *self.sizes), {}, "is built with")
        module = self.component.build(rngs, *self.sizes)
        if not isinstance(module, nnx.Module):
            name = type(self.component).__qualname__
            raise UsageError(f"the network {name} builds a {type(module).__name__}; expected a module of flax.nnx")
        return module

    def _check(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> None:
        """Refuse arguments that a network of one's own does not take, before it is compiled and trained."""
        name = type(self.component).__qualname__
        if not callable(function):
            raise UsageError(
                f"the network {name} builds a {type(function).__name__} that cannot be called; give it __call__"
            )
        signature = inspect.signature(function)
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            given = [_said(value) for value in args] + [f"{name}={_said(value)}" for name, value in kwargs.items()]
            raise UsageError(
                f"the network {name} {what} ({', '.join(given)}) here, but takes {signature} ({error}); "
                f"take these arguments, or choose another network"
            ) from None


@lru_cache(maxsize=256)
def _graph(net: Net) -> Any:
    return abstract(net.build)[0].graph


def _said(value: Any) -> str:
    """An argument in a message: the shape of an array, else its value or type."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array {value.shape}"
    plain = value is None or isinstance(value, (bool, int, float, str, tuple))
    return repr(value) if plain else type(value).__name__


def shapes_of(tree: Any) -> Any:
    """A tree of arrays as `jax.ShapeDtypeStruct`."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def parameter_count(params) -> int:
    """Number of scalars in a tree of arrays or of shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def transfer(source, to):
    """Parameters `to` with those of `source` wherever name and shape agree: a discriminator starts as the generator."""
    known = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(source)}

    def take(path, leaf):
        found = known.get(jax.tree_util.keystr(path))
        return leaf if found is None or found.shape != leaf.shape else found

    return jax.tree_util.tree_map_with_path(take, to)


def dropout(x, rate: float, key):
    """Inverted dropout (Srivastava et al. 2014): zero with probability `rate`, else divided by the rest.

    `x` any shape; `key` None switches it off. The rate is rounded to a multiple of 2^-16, and the division is
    by the rounded probability, so the expectation is exact; 16 random bits an element halve the cost.
    """
    if key is None or rate == 0.0:
        return x
    cut = round(rate * 65536)
    keep = jax.random.bits(written_out(key), x.shape, jnp.uint16) >= cut
    return jnp.where(keep, x / (1.0 - cut / 65536), 0).astype(x.dtype)
