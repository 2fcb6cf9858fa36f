"""Each number of each registered component: what cannot work is refused where the configuration is made."""

import dataclasses
import math
import typing

import pytest

from genkit.errors import UsageError
from genkit.experiment import preset_of, with_options
from genkit.experiment.ranges import check_range
from genkit.experiment.slots import options
from genkit.kinds import KINDS, SIGNED
from genkit.plugin import registry

CONFIGURED = [kind for kind in KINDS if kind not in ("benchmarks", "commands", "loggers")]


def numbers(kind):
    """(component, option) of every number of every component of a kind."""
    for item in registry().items(kind):
        base = preset_of(registry().load(kind, item.name), "default")
        for option in options(base):
            hints = set(typing.get_args(option.hint)) or {option.hint}
            if (
                not (option.slot or option.parts)
                and hints & {int, float}
                and typing.get_origin(option.hint) is not tuple
            ):
                yield base, option


def refused(base, option, value):
    """Whether it is refused, as in `parse`; another error than UsageError is none of its answers."""
    try:
        check_range(option, value, type(base))
        dataclasses.replace(base, **{option.field.name: value})
    except UsageError as error:
        assert str(error) and "\n" not in str(error)
        return True
    return False


@pytest.mark.parametrize("kind", CONFIGURED)
def test_numbers_that_cannot_work(kind):
    for base, option in numbers(kind):
        name, default = f"{type(base).__name__}.{option.field.name}", option.value
        whole = float not in {option.hint, *typing.get_args(option.hint)}
        for value in (10**30,) if whole else (math.nan, math.inf, -math.inf, 1e300):
            assert refused(base, option, value) or value == default, f"{name} takes {value}"
        hint = typing.get_type_hints(type(base), include_extras=True)[option.field.name]
        signed = SIGNED in getattr(hint, "__metadata__", ())
        for value in (-1, 0) if whole else (-1.0, 0.0):  # either a UsageError or a configuration
            if not refused(base, option, value):
                assert value == 0 or signed or (default or 0) < 0, f"{name} takes {value}"


def test_every_kind_has_some():
    assert sum(1 for kind in CONFIGURED for _ in numbers(kind)) > 500


@pytest.mark.parametrize(
    "key, values",
    {
        "number": ["", "x", "1.5", "nan", "1e400", "none", "-1", "99999999999999999999", "[1]"],
        "rate": ["", "x", "nan", "inf", "-inf", "1e400"],
        "sizes": ["x", "1.5", "nan"],
        "flag": ["", "maybe", "2"],
        "mode": ["", "better"],
        "sampler": ["", "none", "../x", "toy.points", "a:b"],
        "sampler.steps": ["", "-1", "nan", "99999999999999999999"],
        "sampler.levels.low": ["nan", "-1"],
        "data": ["", "slow"],
    }.items(),
)
def test_wrong_values_on_the_command_line(toy, key, values):
    for value in values:
        with pytest.raises(UsageError) as caught:
            with_options(toy.Study(), {key: value})
        assert "\n" not in str(caught.value), (key, value)
