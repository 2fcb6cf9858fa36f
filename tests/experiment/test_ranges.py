"""Each number of each registered component: what cannot work is refused where the configuration is made."""

import dataclasses
import math
import typing

import pytest

import genkit
from genkit.errors import UsageError
from genkit.experiment import preset_of, with_options
from genkit.experiment.ranges import check_ranges, make
from genkit.experiment.slots import options
from genkit.kinds import KINDS, SIGNED, ZERO
from genkit.plugin import registry

CONFIGURED = [kind for kind in KINDS if kind not in ("benchmarks", "commands", "loggers")]


def numbers(kind):
    """(component, option) of every number of every component of a kind, and of every tuple of numbers."""
    for item in registry().items(kind):
        base = preset_of(registry().load(kind, item.name), "default")
        for option in options(base):
            hints = {option.hint, *typing.get_args(option.hint)}
            table = dict in (option.hint, typing.get_origin(option.hint))
            if not (option.slot or option.parts or table) and hints & {int, float}:
                yield base, option


def refused(base, option, value):
    """Whether it is refused, as in `parse` and `run`; another error than UsageError is none of its answers."""
    values = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)} | {option.field.name: value}
    try:
        check_ranges(make(base, values))
        return False
    except UsageError as error:
        assert str(error) and "\n" not in str(error)
        return True


@pytest.mark.parametrize("kind", CONFIGURED)
def test_numbers_that_cannot_work(kind):
    for base, option in numbers(kind):
        name, default, several = f"{type(base).__name__}.{option.field.name}", option.value, False
        hints = {option.hint, *typing.get_args(option.hint)}
        if typing.get_origin(option.hint) is tuple:
            several, default = True, default[0] if default else None
        whole = float not in hints
        for value in (10**30,) if whole else (math.nan, math.inf, -math.inf, 1e300):
            given = (value,) * len(option.value or (1,)) if several else value
            assert refused(base, option, given) or value == default, f"{name} takes {given}"
        for value in (-1, 0) if whole else (-1.0, 0.0):  # either a UsageError or a configuration
            given = (value,) * len(option.value or (1,)) if several else value
            if refused(base, option, given) or several:
                continue
            assert value == 0 or SIGNED in option.marks or (default or 0) < 0, f"{name} takes {value}"
            assert value or not whole or option.field.default == 0 or ZERO in option.marks, f"{name} takes 0"


def test_presets_are_in_their_ranges():
    for kind in CONFIGURED:
        for item in registry().items(kind):
            for preset in ("tiny", "default", "paper"):
                try:
                    made = preset_of(registry().load(kind, item.name), preset)
                except UsageError as error:  # it has no such preset
                    assert "preset" in str(error), error
                else:
                    check_ranges(made)


def test_components_made_in_python_are_checked(toy, tmp_path):
    """Those in a configuration, before a folder is made; what their classes say comes first."""
    study = toy.Study(sampler=toy.Slow(steps=0))
    with pytest.raises(UsageError, match=r"^sampler.steps=0 must not be 0; expected 1 or more$"):
        genkit.run(study, out=tmp_path / "a")
    with pytest.raises(UsageError, match="low=nan is no number"):
        nested = toy.Corrected(base=toy.Slow(levels=toy.Levels(low=math.nan)))
        genkit.config("toy.study", sampler=nested)
    assert not (tmp_path / "a").exists()
    with pytest.raises(UsageError, match=r"^number=-1 must not be negative$"):
        genkit.config("toy.study", number=-1)


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
