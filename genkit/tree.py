"""Dataclasses as pytrees."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax

T = TypeVar("T", bound=type)


def register_dataclass(cls: T) -> T:
    """Make a dataclass a pytree: fields are children; those with ``metadata={"static": True}`` belong to the structure.

    In place of `jax.tree_util.register_dataclass`: with that (jaxlib 0.10) the structures of two types are equal where
    they have as many children and the same static values. A table keyed by structures, above all that of `jit`, then
    takes one type for the other when places in the table meet, now and then, and runs the other one's program.
    """
    fields = [f for f in dataclasses.fields(cls) if f.init]
    static = tuple(f.name for f in fields if f.metadata.get("static"))
    data = tuple(f.name for f in fields if f.name not in static)
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in data)

    def values(x: Any) -> tuple[Any, ...]:
        return tuple([getattr(x, name) for name in data])

    def rest(x: Any) -> tuple[Any, ...]:
        return tuple([getattr(x, name) for name in static])

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        return cls(**dict(zip(data, children, strict=True)), **dict(zip(static, aux, strict=True)))

    jax.tree_util.register_pytree_with_keys(
        cls,
        lambda x: (tuple(zip(keys, values(x), strict=True)), rest(x)),
        unflatten,
        lambda x: (values(x), rest(x)),
    )
    return cls
