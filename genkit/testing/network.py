"""`check_network`: whether the arithmetic of a network is what its options say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

from genkit.nn import Arithmetic, Net
from genkit.testing.require import near, require

STATISTICS = frozenset({"exp", "expm1", "log", "log1p", "pow", "sqrt", "rsqrt", "reduce_sum", "cumsum", "cumlogsumexp"})


def check_network(network: Any, sizes: tuple[Any, ...], *args: Any, tolerance: float = 0.03) -> None:
    """Raise AssertionError unless `dtype` and `remat` of a network (`genkit.nn.Arithmetic`) do what they say.

    In bfloat16 the parameters, the answers and all exponentials, roots and sums (of norms and of softmax) are float32,
    products are not, and answers differ by less than `tolerance`, relative to the largest, from those in float32. With
    `remat` answers and gradients are the same to 1e-6, and computed again from what is kept.

    Args:
        network: its options, of `dtype` float32 and without `remat`.
        sizes: what `build` takes after the random numbers.
        args: what the network is called with. Its parameters are drawn, so that none begins as zero.
        tolerance: see above.
    """
    require(isinstance(network, Arithmetic), f"{type(network).__name__} is no genkit.nn.Arithmetic: it has no dtype")
    full, low, saving = (Net(replace(network, **o), sizes) for o in ({}, {"dtype": "bfloat16"}, {"remat": True}))
    shapes = full.shapes()
    require(low.shapes() == shapes == saving.shapes(), "dtype or remat changes the parameters")
    params = _drawn(shapes)

    def gradient(net: Net) -> Any:
        def loss(params: Any) -> Any:
            out = net(params, *args)
            return sum(jnp.square(leaf).mean() for leaf in jax.tree.leaves(out)), out

        return jax.value_and_grad(loss, has_aux=True)

    plain, again = (jax.jit(gradient(net))(params) for net in (full, saving))
    require(near(_flat(plain), _flat(again), 1e-6), "answers or gradients with remat are others")
    named = [{name for name, _ in _operations(jax.make_jaxpr(gradient(net))(params))} for net in (full, saving)]
    require("remat2" not in named[0] and "remat2" in named[1], "remat keeps everything for the gradient")

    answer = lambda params: low(params, *args)  # noqa: E731
    done = _operations(jax.make_jaxpr(answer)(params))
    halves = {name for name, dtype in done if dtype == jnp.bfloat16}
    require("dot_general" in halves or "conv_general_dilated" in halves, "no product is in bfloat16")
    require(not halves & STATISTICS, f"in bfloat16 there are {', '.join(sorted(halves & STATISTICS))}")
    rounded, exact = jax.jit(answer)(params), plain[0][1]
    require(all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(rounded)), "answers are not float32")
    require(not near(rounded, exact, 1e-6), "bfloat16 changes no number")
    require(near(rounded, exact, tolerance), f"answers in bfloat16 are further than {tolerance} from those in float32")


def _drawn(shapes: Any) -> Any:
    """Parameters that keep the size of what goes through: kernels by their fan-in, scales about 1."""
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> Any:
        require(leaf.dtype == jnp.float32, f"parameters {jax.tree_util.keystr(path)} are {leaf.dtype}")
        noise = rng.standard_normal(leaf.shape)
        if "scale" in jax.tree_util.keystr(path[-1:]):
            noise = 1 + 0.1 * noise
        elif len(leaf.shape) > 1:
            noise *= leaf.shape[-2] ** -0.5
        else:
            noise *= 0.1
        return jnp.asarray(noise, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _flat(tree: Any) -> Any:
    """(answers, gradients), each in one row: what is zero up to rounding is compared with the others."""
    (_, answers), gradients = tree
    return tuple(jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(a)]) for a in (answers, gradients))


def _operations(jaxpr: Any) -> set[tuple[str, Any]]:
    """Name of each operation, inner ones too, and the types of its results."""
    found = set()
    for one in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        found |= {(one.primitive.name, getattr(out.aval, "dtype", None)) for out in one.outvars}
        for inner in jaxprs_in_params(one.params):
            found |= _operations(inner)
    return found
