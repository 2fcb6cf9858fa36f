"""What stations measure: a variable, the wind's speed, the arctangent of a variable, whether it exceeds a limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genkit.errors import UsageError

LINEAR, SPEED, ARCTAN, EXCEEDS = range(4)
SPEEDS = "wind_speed"
ARCTANGENT, LIMIT = re.compile(r"^arctan\((?P<name>.+)\)$"), re.compile(r"^(?P<name>[^<>]+)>=?(?P<limit>[^<>]+)$")


@dataclass(frozen=True)
class Quantity:
    """A number that a station measures, as a function of the variables at its place."""

    name: str
    kind: int
    first: int
    """its variable among those of the model"""
    second: int | None = None
    """the northward wind of a speed"""
    limit: float = 0.0
    """what `EXCEEDS` exceeds, in the variable's units"""


def quantity(name: str, names: Sequence[str], wind: tuple[str, str] | None = None) -> Quantity:
    """Read `t2m`, `wind_speed`, `arctan(t2m)` or `t2m>273.15`.

    Args:
        name: of the quantity.
        names: variables of the model.
        wind: its eastward and northward wind.

    Raises:
        UsageError: a variable or a limit that is none.
    """
    if name in names:
        return Quantity(name, LINEAR, list(names).index(name))
    if name == SPEEDS:
        if wind is None:
            raise UsageError(f"{SPEEDS}: which wind of the model is it? It has {', '.join(names)}; give wind")
        return Quantity(name, SPEED, *(_place(one, names) for one in wind))
    if found := ARCTANGENT.match(name):
        return Quantity(name, ARCTAN, _place(found["name"], names))
    if found := LIMIT.match(name):
        try:
            limit = float(found["limit"])
        except ValueError:
            raise UsageError(f"{name!r}: the limit {found['limit']!r} is no number; write t2m>273.15") from None
        return Quantity(name, EXCEEDS, _place(found["name"], names), limit=limit)
    raise UsageError(
        f"{name!r} is not observed here: there are {', '.join(names)}, {SPEEDS}, arctan(variable) and variable>limit"
    )


def _place(name: str, names: Sequence[str]) -> int:
    if name.strip() not in names:
        raise UsageError(f"{name.strip()!r} is no variable of the model; it has {', '.join(names)}")
    return list(names).index(name.strip())
