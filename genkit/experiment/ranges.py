"""What numbers an option may have where nothing else is said: finite, not negative, whole ones within 31 bits."""

from __future__ import annotations

import math
import typing
from typing import Any

from genkit.errors import UsageError
from genkit.experiment.slots import Option
from genkit.kinds import SIGNED

LARGEST = 2**31 - 1


def check_range(option: Option, value: Any, cls: type) -> None:
    """Refuse a number that no option of this kind can have; its class refuses more by itself.

    What the preset has is taken. What differs says so once, where it is declared: a field with a negative default, or
    annotated as ``Annotated[float, SIGNED]``, may be negative, one with an infinite default infinite.
    """
    default = option.field.default
    if value == option.value:
        return
    hint = typing.get_type_hints(cls, include_extras=True).get(option.field.name)
    signed = SIGNED in getattr(hint, "__metadata__", ()) or (_is_number(default) and default < 0)  # type: ignore
    for one in _numbers(value):
        name = f"{option.field.name}={one}"
        if isinstance(one, float) and not math.isfinite(one) and one != default:
            raise UsageError(f"{name} is no number to work with; expected a finite one")
        if _is_number(value) and one < 0 and not signed:
            raise UsageError(f"{name} must not be negative; expected 0 or more")
        if abs(one) > (LARGEST if isinstance(one, int) else 1e30) and one != default:
            raise UsageError(f"{name} is too large; expected at most {LARGEST:,} or 1e30")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(value: Any) -> list[int | float]:
    """The numbers in a value, in tuples and dicts too."""
    if _is_number(value):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [one for part in parts for one in _numbers(part)]
