"""Slots of a configuration, and its one walk: every field with the name of its option."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from genkit.errors import UsageError
from genkit.kinds import CODE, EXCHANGES, KINDS, RESTORED, exchanged, signature
from genkit.plugin import Item, registry

Naming = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Slot:
    """A field that takes a registered component of a kind, of those that exchange what it says (see `genkit.kinds`)."""

    kind: str
    optional: bool = False
    many: bool = False
    exchange: tuple[Any, ...] = ()

    def offered(self, own: str) -> list[Item]:
        """What can be chosen by name in an experiment of the plugin `own`."""
        wanted = signature(self.kind, self.exchange)
        return [
            item
            for item in registry().items(self.kind)
            if not wanted or item.exchange == wanted or (not item.exchange and item.plugin == own)
        ]

    def check(self, key: str, item: Item, cls: type, own: str) -> None:
        """Refuse a component of another domain. Own code without annotations fits everywhere."""
        found = exchanged(self.kind, cls)
        if not self.exchange or (not found and item.plugin in ("", own)):
            return
        if len(found) != len(self.exchange) or not all(map(_fits, found, self.exchange)):
            names = ", ".join(one.called(own) for one in self.offered(own) if one != item) or "none"
            wanted, what = signature(self.kind, self.exchange), signature(self.kind, found)
            if not what:
                raise UsageError(
                    f"--{key} {item.called(own)} does not fit: {cls.__qualname__}.{EXCHANGES[self.kind]} has no "
                    f"annotations that say what it exchanges, expected {wanted!r}; write them, and {wanted!r} as the "
                    f"third text where it is registered"
                )
            raise UsageError(
                f"--{key} {item.called(own)} does not fit: it exchanges {what}, expected {wanted}; there are {names}"
            )


def _fits(found: Any, wanted: Any) -> bool:
    if typing.get_origin(found) is typing.get_origin(wanted) is typing.Literal:  # words that a network is told
        return set(typing.get_args(found)) >= set(typing.get_args(wanted))
    classes = isinstance(found, type) and isinstance(wanted, type) and not typing.get_origin(found)
    return found == wanted or (classes and issubclass(found, wanted))


@lru_cache(maxsize=1024)
def hints_of(cls: type) -> dict[str, Any]:
    """The annotations of a class, with what they say beside the type."""
    return typing.get_type_hints(cls, include_extras=True)


@lru_cache(maxsize=1024)
def slots(cls: type) -> dict[str, Slot]:
    """The slots of a configuration class: fields annotated with a kind's Protocol P, `P | None` or `tuple[P, ...]`.

    P may say what is exchanged, as ``Dataset[WeatherData]``.
    """
    found = {}
    for name, hint in typing.get_type_hints(cls).items():
        many = typing.get_origin(hint) is tuple
        union = typing.get_origin(hint) in (types.UnionType, typing.Union)
        options = typing.get_args(hint) if many or union else (hint,)
        for option in options:
            for kind, protocol in KINDS.items():
                if protocol in (option, typing.get_origin(option)):
                    found[name] = Slot(kind, type(None) in options, many, typing.get_args(option))
    return found


def main_model(cls: type) -> str | None:
    """The slot whose component's fields are options without a prefix: `model`, or the only slot for a model."""
    names = [name for name, slot in slots(cls).items() if slot.kind == "models" and not slot.many]
    return "model" if "model" in names else names[0] if len(names) == 1 else None


@dataclasses.dataclass(frozen=True)
class Option:
    """A field of a configuration, or of a component in it."""

    key: str
    """the name of its option"""
    field: dataclasses.Field
    hint: Any
    marks: tuple[Any, ...]
    """what its annotation says beside the type"""
    value: Any
    slot: Slot | None
    parts: tuple[tuple[Any, Naming], ...]
    """the components in it, with the names of their options by field"""


def options(config: Any, naming: Naming = str) -> Iterator[Option]:
    """The fields of one configuration or component, not of those in it."""
    cls = type(config)
    hints, found, main = hints_of(cls), slots(cls), main_model(cls)
    own = {f.name for f in dataclasses.fields(config)}
    for f in dataclasses.fields(config):
        key, value = naming(f.name), getattr(config, f.name)
        if f.name == main:
            parts = ((value, _unprefixed(f.name, own, naming)),) if is_component(value) else ()
        else:
            parts = tuple((one, _prefixed(where)) for where, one in _placed(key, value))
        hint, marks = hints[f.name], ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *marks = typing.get_args(hint)
        yield Option(key, f, hint, tuple(marks), value, found.get(f.name), parts)


def walk(config: Any, naming: Naming = str) -> Iterator[Option]:
    """All options of a configuration: a field, then those of the components in it."""
    for option in options(config, naming):
        yield option
        for part, names in option.parts:
            yield from walk(part, names)


def own_functions(config: Any) -> list[str]:
    """The texts among the options that name own code, `module:function`."""
    values = [option.value for option in walk(config) if CODE in option.marks and option.value]
    texts = [text for value in values for text in ((value,) if isinstance(value, str) else value)]
    return [text for text in texts if ":" in text.partition("=")[0]]


def names_own_code(config: Any) -> bool:
    """Whether a configuration has a component that no plugin registers, or a function."""
    if own_functions(config):
        return True
    parts = ((option.slot.kind, part) for option in walk(config) if option.slot for part, _ in option.parts)
    return any(":" in registry().name_of(kind, type(part)) for kind, part in parts)


def unchecked(config: Any, **values: Any) -> Any:
    """A configuration with other values on its way to be whole: its own checks come when it is."""
    made = object.__new__(type(config))
    for f in dataclasses.fields(config):
        object.__setattr__(made, f.name, values.get(f.name, getattr(config, f.name)))
    return made


def recipes(config: Any, naming: Naming = str) -> Iterator[tuple[Any, Naming]]:
    """The recipes in the slots of a study and of its recipes, with the names of their options."""
    for option in options(config, naming):
        if option.slot and option.slot.kind == "models":
            for recipe, names in option.parts:
                yield recipe, names
                if recipe.restore is None:  # else those in it are not used
                    yield from recipes(recipe, names)


def put(value: Any, parts: list[Any]) -> Any:
    """A field's value with other components in place of those that it holds."""
    return tuple(parts) if isinstance(value, tuple) else parts[0]


def is_component(value: Any) -> bool:
    """Whether a value is a dataclass, or several of them in a tuple or list."""
    several = isinstance(value, (tuple, list)) and value
    return all(map(is_component, value)) if several else dataclasses.is_dataclass(value)


def _placed(key: str, value: Any) -> list[tuple[str, Any]]:
    if not is_component(value):
        return []
    return [(f"{key}.{i}", one) for i, one in enumerate(value)] if isinstance(value, tuple) else [(key, value)]


def _prefixed(key: str) -> Naming:
    return lambda name: f"{key}.{name}"


def _unprefixed(slot: str, own: set[str], naming: Naming) -> Naming:
    """Names of the main model's options; those that the study has too keep the prefix."""
    return lambda name: naming(f"{slot}.{name}" if name in own or name in RESTORED else name)
