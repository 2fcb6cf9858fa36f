"""From a flax NNX module to a pure function of its parameters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.threefry import written_out


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
    `fold_in(key, i)` is `split(key, n)[i]`.
    """
    rngs = nnx.Rngs(key)
    setattr(rngs, "default", _Stream(key))  # noqa: B010 - a stream is no declared attribute
    return rngs


class _Stream(nnx.RngStream):
    def __init__(self, key):
        super().__init__(key, tag="default")
        self.keys = _keys(self.key[...])

    def __call__(self) -> jax.Array:
        return next(self.keys)


def _keys(key: jax.Array) -> Iterator[jax.Array]:
    made = 0
    while True:
        begin, made = made, 2 * made or 64
        some = jax.random.split(key, made)
        for i in range(begin, made):
            yield jax.lax.index_in_dim(some, i, keepdims=False)


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
        """Call the network with the given parameters."""
        return self.module(params)(*args, **kwargs)

    def module(self, params) -> Any:
        """The module with the given parameters, for its other methods."""
        return nnx.merge(_graph(self), params)

    def init(self, key: jax.Array) -> Any:
        """Fresh parameters, a nested dict of arrays."""
        return functional(self.component.build(traced_rngs(key), *self.sizes))[1]

    def shapes(self) -> Any:
        """The parameters as shapes: nothing is allocated or drawn."""
        return abstract(lambda rngs: self.component.build(rngs, *self.sizes))[1]


@lru_cache(maxsize=256)
def _graph(net: Net) -> Any:
    return abstract(lambda rngs: net.component.build(rngs, *net.sizes))[0].graph


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


def remat(module: nnx.Module, *args):
    """Call `module(*args)` keeping only its inputs for the backward pass (gradient checkpointing)."""
    graph, state = nnx.split(module)
    return jax.checkpoint(lambda params, *inputs: nnx.merge(graph, params)(*inputs))(state, *args)
