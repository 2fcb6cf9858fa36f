"""Which array is split over which axis of the mesh."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genkit.errors import UsageError

Rule = Callable[[str, Any], PartitionSpec]
"""(path such as "params/dense/kernel", leaf with shape and dtype) -> PartitionSpec."""


def path_name(path: tuple[Any, ...]) -> str:
    """A path of `jax.tree_util` as text, "params/dense/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def shardings(tree: Any, mesh: Mesh, rule: Rule | None = None) -> Any:
    """The sharding of every leaf; without a rule every leaf is copied to every device.

    Raises `UsageError` when the rule splits an axis that does not divide, and names the leaf.
    """

    def of(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        spec = rule(path_name(path), leaf) if rule else PartitionSpec()
        if len(spec) > len(leaf.shape):
            raise UsageError(f"the sharding rule gives {spec} for {path_name(path)} of shape {leaf.shape}")
        for size, names in zip(leaf.shape, spec, strict=False):
            names = () if names is None else (names,) if isinstance(names, str) else names
            parts = math.prod(mesh.shape[name] for name in names)
            if size % parts:
                raise UsageError(
                    f"the sharding rule splits {path_name(path)} of shape {leaf.shape} by {spec}, "
                    f"but {size} is no multiple of {parts}"
                )
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(of, tree)


def fsdp(mesh: Mesh, min_size: int = 2**16) -> Rule:
    """Fully sharded data parallelism: large arrays are split over all devices along their longest axis that divides.

    Applies to parameters, their averages and the optimiser's moments alike, whose shapes are equal; arrays of
    fewer than `min_size` elements are copied, as gathering them would cost more than it saves. The shares are the same
    on every mesh of as many devices.
    """
    parts, axes = mesh.size, mesh.axis_names

    def rule(path: str, leaf: Any) -> PartitionSpec:
        fitting = [i for i, size in enumerate(leaf.shape) if size % parts == 0]
        if math.prod(leaf.shape) < min_size or not fitting or parts == 1:
            return PartitionSpec()
        longest = max(fitting, key=lambda i: leaf.shape[i])
        return PartitionSpec(*[axes if i == longest else None for i in range(len(leaf.shape))])

    return rule
