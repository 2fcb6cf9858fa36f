"""Dataclasses as pytrees."""

from dataclasses import dataclass, field

import jax
import pytest

from genkit.tree import register_dataclass


@register_dataclass
@dataclass(frozen=True)
class Line:
    slope: float
    kind: str = field(default="straight", metadata={"static": True})
    seen: int = field(default=7, init=False)


@register_dataclass
@dataclass(frozen=True)
class Other:
    slope: float
    kind: str = field(default="straight", metadata={"static": True})


def test_structures_tell_types_and_static_values_apart():
    same, static, other = Line(2.0), Line(1.0, "curved"), Other(1.0)
    structure = jax.tree.structure(Line(1.0))
    assert structure == jax.tree.structure(same) and hash(structure) == hash(jax.tree.structure(same))
    assert structure != jax.tree.structure(static)
    assert structure != jax.tree.structure(other)


def test_leaves_and_back():
    line = jax.tree.map(lambda a: 2 * a, Line(1.5, "curved"))
    assert line == Line(3.0, "curved") and line.seen == 7
    ((path, leaf),) = jax.tree_util.tree_leaves_with_path([line])
    assert jax.tree_util.keystr(path) == "[0].slope" and leaf == 3.0
    assert jax.jit(lambda line: line)(line).kind == "curved"
    with pytest.raises(ValueError, match="Duplicate"):
        register_dataclass(Line)
