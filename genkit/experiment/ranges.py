"""What numbers an option may have where nothing else is said: finite, not negative, whole ones from 1 to 31 bits."""

from __future__ import annotations

import math
import typing
from numbers import Integral, Real
from typing import Any

from genkit.errors import UsageError
from genkit.experiment.slots import Option, options, unchecked, walk
from genkit.kinds import SIGNED, ZERO

LARGEST = 2**31 - 1


def check_ranges(config: Any) -> None:
    """Refuse numbers that no option of their kind can have, in a configuration and all components in it.

    Every configuration passes here, from options, a file or Python, after the checks of its classes, which say more.
    What differs says so once, where it is declared: a field with a negative default, or annotated as
    ``Annotated[float, SIGNED]``, may be negative, a whole number with the default 0, or ``Annotated[int, ZERO]``, may
    be 0, one with an infinite default infinite. Raises `UsageError`.
    """
    for option in walk(config):
        _check_size(option)
        _check_sign(option)


def make(like: Any, values: dict[str, Any]) -> Any:
    """A configuration or component of the class of `like`, which is asked first but for numbers without end."""
    given = unchecked(like, **values)
    for option in options(given):
        _check_size(option)
    try:
        return type(like)(**values)
    except UsageError:
        raise
    except Exception:  # it computes with what it was given
        check_ranges(given)
        raise


def _check_size(option: Option) -> None:
    for one in _numbers(option.value):
        if not math.isfinite(one) and one != option.field.default:
            raise UsageError(f"{option.key}={one} is no number to work with; expected a finite one")
        if abs(one) > (LARGEST if isinstance(one, Integral) else 1e30) and one != option.field.default:
            raise UsageError(f"{option.key}={one} is too large; expected at most {LARGEST:,} or 1e30")


def _check_sign(option: Option) -> None:
    default, value = option.field.default, option.value
    if not _is_number(value) or SIGNED in option.marks or (_is_number(default) and default < 0):  # type: ignore
        return
    whole = float not in (option.hint, *typing.get_args(option.hint))
    least = 1 if whole and default != 0 and ZERO not in option.marks else 0
    if value < least:
        what = "negative" if value < 0 else "0"
        raise UsageError(f"{option.key}={value} must not be {what}; expected {least} or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _numbers(value: Any) -> list[Any]:
    """The numbers in a value, in tuples and dicts too."""
    if _is_number(value):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [one for part in parts for one in _numbers(part)]
