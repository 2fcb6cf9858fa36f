"""From a flax NNX module to a pure function of its parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.threefry import written_out


@dataclass(frozen=True)
class Apply:
    """The module as a hashable pure function `apply(params, *args, **kwargs)`, fit to be static under `jit`."""

    graph: Any

    def __call__(self, params, *args, **kwargs):
        """Call the module with the given parameters."""
        return nnx.merge(self.graph, params)(*args, **kwargs)


def functional(module: nnx.Module) -> tuple[Apply, Any]:
    """Split a module into a pure function and its parameters, a nested dict of arrays."""
    graph, state = nnx.split(module)
    return Apply(graph), nnx.as_pure(state)


def abstract(build: Callable[[nnx.Rngs], nnx.Module]) -> tuple[Apply, Any]:
    """Like `functional(build(rngs))`, with shapes in place of arrays: nothing is allocated or drawn."""
    return functional(nnx.eval_shape(lambda: build(traced_rngs(0))))


def traced_rngs(key) -> nnx.Rngs:
    """The keys of `nnx.Rngs(key)`, for networks that are built under `jit`.

    flax counts keys in an array. While tracing, each count walks through all that was traced before, so that the time
    to build a network grows as the square of its size.
    """
    rngs = nnx.Rngs(key)
    setattr(rngs, "default", _Stream(key, tag="default"))  # noqa: B010 - a stream is no declared attribute
    return rngs


class _Stream(nnx.RngStream):
    drawn = 0

    def __call__(self) -> jax.Array:
        key = jax.random.fold_in(self.key[...], self.drawn)
        self.drawn += 1
        return key


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
