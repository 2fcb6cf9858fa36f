"""What networks have in common as programs: the numbers they compute in, and what they keep for the gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """Options of networks; the parameters are the same for all of their values.

    Compilers for CPUs undo `remat` where the blocks are not a loop: it is for GPUs.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    """arithmetic of the layers; parameters, statistics of norms, softmax, sums and losses stay float32"""
    remat: bool = False
    """keep only what goes into each block for the gradient, and compute the rest again: less memory, more time"""

    @property
    def numbers(self) -> Any:
        """`dtype`, as layers take it."""
        return jnp.dtype(self.dtype)

    def through(self, block: Callable[..., Any], *args: Any) -> Any:
        """block(*args), of which the gradient keeps `args` and parameters alone if `remat` says so.

        The block changes no state of its modules: what it draws comes from keys among `args`, as `dropout` takes them.
        """
        return jax.checkpoint(lambda *args: block(*args))(*args) if self.remat else block(*args)
