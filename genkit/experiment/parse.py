"""Command-line words to a configuration, in two stages.

First the names: ``--sampler dpmpp_2s`` puts the preset of that component into its slot; a slot for a model also takes
the path of a trained one. Then everything else: the dataclass is re-made with the chosen classes as types and handed
to tyro, so that each component's own fields are options, ``--sampler.steps 20``. A slot for several components, a
tuple of them, takes ``--methods ddsmc dps`` and then ``--methods.0.steps 50``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import tyro

from genkit.errors import UsageError
from genkit.experiment.ranges import check_ranges, make
from genkit.experiment.slots import (
    Naming,
    Option,
    Slot,
    hints_of,
    main_model,
    options,
    own_functions,
    put,
    recipes,
    unchecked,
    walk,
)
from genkit.kinds import RESTORED
from genkit.plugin import Item, registry

TYRO = {"config": (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff), "use_underscores": True}
HELD = tuple(name for name in RESTORED if name != "finetune")  # set in stage one, no options of tyro
FIXED = tyro.conf.SuppressFixed[tyro.conf.Fixed[type(None)]]  # no option


class Untrusted(UsageError):
    """Own code is named where it must not be; the message is its name."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which class a name stands for."""

    preset: str = "default"
    own: str = "core"
    trust: bool = True
    """whether own code may be named"""

    def found(self, kind: str, name: str) -> tuple[Item, type]:
        """A component by its name, imported."""
        if ":" in name and not self.trust:
            raise Untrusted(name)
        return registry().find(kind, name, self.own), registry().load(kind, name, self.own)


def preset_of(cls: type, preset: str) -> Any:
    """An instance of a configuration class with the values of a preset."""
    if hasattr(cls, "preset"):
        return cls.preset(preset)  # type: ignore[attr-defined]
    try:
        return cls()
    except TypeError as error:
        raise UsageError(
            f"{cls.__qualname__} cannot be made without values ({error}); give each of its fields a default"
        ) from None


def parse(
    base: Any, words: list[str], preset: str, own: str, prog: str, extra: type | None = None, trust: bool = True
) -> tuple[Any, Any]:
    """Apply command-line words to a configuration; wrong ones end in tyro's message and exit code 2.

    `extra` is a dataclass whose fields are parsed beside those of the configuration, without a prefix.
    Returns the configuration and the instance of `extra`. Without `trust`, names of own code
    (``module:Class``) are refused.
    """
    words, suggested = _without_prefix(base, words), {}
    base = choose(base, words, Choice(preset, own, trust), suggested)
    if suggested:
        known = {option.key for option in walk(base)} - _settled(base)
        words = [w for key, value in suggested.items() if key in known for w in words_of(key, value)] + words
    words = _spelled(base, words)
    shown = _retype(base)
    plain = Annotated[type(shown), tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]  # a file gives values
    parts: list[Any] = [("config", plain, shown)]
    if extra is not None:
        if twice := {f.name for f in dataclasses.fields(extra)} & {option.key for option in walk(base)}:
            raise UsageError(f"{prog} has --{min(twice)} itself, so {type(base).__name__} cannot: rename its field")
        parts.insert(0, ("extra", Annotated[extra, tyro.conf.arg(name="")], extra()))
    fields = [(n, hint, dataclasses.field(default_factory=lambda v=v: v)) for n, hint, v in parts]
    both = dataclasses.make_dataclass("Options", fields, namespace={"__module__": "builtins"})  # has no source to read
    parsed = tyro.cli(both, args=words, prog=prog, description=_describe(base, own), **TYRO)
    config = _restore(parsed.config, base)
    if not trust and (functions := own_functions(config)):
        raise Untrusted(functions[0])
    check_ranges(config)
    return config, getattr(parsed, "extra", None)


def choose(config: Any, words: list[str], how: Choice, suggested: dict[str, Any], naming: Naming = str) -> Any:
    """Stage one: take ``--slot NAME`` out of the words and put the component's preset into its slot.

    What the chosen components suggest for other options is collected in `suggested`.
    """
    changed = {}
    for option in options(config, naming):
        if option.slot and (names := _take(words, option.key, option.slot.many)):
            value = _chosen(option.key, option.slot, names, how, suggested)
            config = unchecked(config, **{option.field.name: value})
            option = next(o for o in options(config, naming) if o.field.name == option.field.name)
        value = option.value
        if option.parts:
            value = put(value, [choose(part, words, how, suggested, names) for part, names in option.parts])
        if option.slot and option.slot.kind == "models" and option.parts:
            value = _restored(value, words, option.key)
        changed[option.field.name] = value
    return unchecked(config, **changed)


def _settled(config: Any) -> set[str]:
    """Options of restored models, which no data set can suggest."""
    return {o.key for recipe, names in recipes(config) if recipe.restore for o in walk(recipe, names)}


def words_of(key: str, value: Any) -> list[str]:
    """An option as command-line words."""
    if isinstance(value, Mapping):
        return [f"--{key}", *(str(w) for pair in value.items() for w in pair)]
    if isinstance(value, (tuple, list)):
        flat_values = [w for v in value for w in (v if isinstance(v, (tuple, list)) else [v])]
        return [f"--{key}", *(str(w) for w in flat_values)]
    return [f"--{key}={value}"]


def _chosen(key: str, slot: Slot, names: list[str], how: Choice, suggested: dict[str, Any]) -> Any:
    if "none" in map(str.lower, names):
        if not slot.optional:
            raise UsageError(f"--{key} none: this slot needs a component")
        return None
    made = []
    for name in names:
        if slot.kind == "models" and _is_path(name):
            from genkit.model import recipe_of

            one = recipe_of(Path(name), how.trust)
            item = Item(name, name)
        elif slot.kind == "models" and ":" not in name and Path(name).is_dir() and not _known(name, how):
            raise UsageError(f"--{key} {name}: to take the model of this folder, write ./{name}")
        else:
            item, cls = how.found(slot.kind, name)
            one = preset_of(cls, how.preset)
        slot.check(key, item, type(one), how.own)
        if slot.kind == "models" and not all(hasattr(one, field) for field in RESTORED):
            raise UsageError(f"--{key} {name}: {type(one).__name__} is no genkit.model.Recipe, as models are")
        suggested |= getattr(one, {"default": "suggests", "paper": "published"}.get(how.preset, ""), {})
        made.append(one)
    return tuple(made) if slot.many else made[0]


def _is_path(name: str) -> bool:
    return "/" in name or name.startswith((".", "~"))


def _known(name: str, how: Choice) -> bool:
    try:
        return bool(registry().find("models", name, how.own))
    except UsageError:
        return False


def _restored(recipe: Any, words: list[str], key: str) -> Any:
    """A recipe with the source and the fingerprint that a config file gives it."""
    for name in HELD:
        if given := _take(words, f"{key}.{name}", False):
            value = None if given[0].lower() == "none" else Path(given[0]).absolute() if name == "restore" else given[0]
            recipe = unchecked(recipe, **{name: value})
    return recipe


def _without_prefix(config: Any, words: list[str]) -> list[str]:
    """``--model.steps`` as ``--steps``, where the main model's options have no prefix."""
    main, own = main_model(type(config)), {f.name for f in dataclasses.fields(config)}

    def short(word: str) -> str:
        name = word.removeprefix(f"--{main}.")
        if not main or name == word or name.partition("=")[0].partition(".")[0] in {*RESTORED, *own}:
            return word
        return f"--{name}"

    return [short(word) for word in words]


def _take(words: list[str], key: str, many: bool) -> list[str]:
    """Remove ``--key value`` or ``--key=value`` from the words, with `many` all values; the last one wins."""
    values, i = [], 0
    while i < len(words):
        if words[i] == f"--{key}":
            after = next((j for j in range(i + 1, len(words)) if words[j].startswith("--")), len(words))
            after = after if many else min(after, i + 2)
            if after == i + 1:
                raise UsageError(f"--{key} needs a name; `genkit list` shows them")
            values = words[i + 1 : after]
            del words[i:after]
        elif words[i].startswith(f"--{key}="):
            values = [words.pop(i).partition("=")[2]]
        else:
            i += 1
    return values


def _truth(word: str, key: str) -> str:
    """The value of a switch, alone or after its key, as tyro reads it."""
    value = word.removeprefix(f"{key}=")
    return word.removesuffix(value) + value.capitalize() if value.lower() in ("true", "false") else word


def _spelled(config: Any, words: list[str]) -> list[str]:
    """Words as tyro reads them: None for ``none`` of a plain field that may be None, True after a switch alone.

    The value of a switch may be written in any case.
    """
    for option in walk(config):
        if option.hint is bool:
            key, pairs = f"--{option.key}", zip(["", *words], words, strict=False)
            words = [_truth(w, key) if w.startswith(f"{key}=") or before == key else w for before, w in pairs]
            pairs = zip(words, [*words[1:], ""], strict=False)
            alone = [w == key and after not in ("True", "False") for w, after in pairs]
            words = [v for w, bare in zip(words, alone, strict=True) for v in ([w, "True"] if bare else [w])]
        if type(None) in typing.get_args(option.hint):
            pairs = zip(["", *words], words, strict=False)
            words = ["None" if w == "none" and before == f"--{option.key}" else w for before, w in pairs]
    return words


def _retype(config: Any, rename: Naming | None = None, in_slot: bool = False) -> Any:
    """The same values in a subclass whose annotations are the chosen classes: what tyro can read.

    `rename` gives the options of the main model their names, as their component has no prefix; `in_slot` is for recipes
    in their slot, whose source stage one has set.
    """
    cls = type(config)
    hints, main = hints_of(cls), main_model(cls)
    shown, annotations = {}, {}
    for option in options(config):
        name, value, hint = option.field.name, option.value, hints[option.field.name]
        if option.parts:
            is_main = name == main
            made = [_retype(part, names if is_main else None, _is_model(option)) for part, names in option.parts]
            hint = tuple[tuple(map(type, made))] if isinstance(value, tuple) else type(made[0])
            hint = Annotated[hint, tyro.conf.arg(name="")] if is_main else hint
            value = put(value, made)
        elif option.slot:  # an empty slot has no options
            hint = FIXED
        elif in_slot and name in HELD:  # taken in stage one
            hint, value = FIXED, None
        elif typing.get_origin(hint) is dict:  # a fixed set of keys would be too little
            hint, value = tuple[tuple[typing.get_args(hint)], ...], tuple(value.items())
        if rename and rename(name) != name:
            hint = Annotated[hint, tyro.conf.arg(name=rename(name))]
        shown[name], annotations[name] = value, hint
    hints = tuple(annotations.items())
    try:
        return _subclass(cls, hints)(**shown)
    except TypeError:  # a hint that has no hash
        return _subclass.__wrapped__(cls, hints)(**shown)


@lru_cache(maxsize=1024)  # of a class that it has not met tyro reads the source
def _subclass(cls: type, hints: tuple[tuple[str, Any], ...]) -> type:
    body = {"__annotations__": dict(hints), "__doc__": cls.__doc__, "__module__": cls.__module__}
    body["__post_init__"] = lambda self: None  # the real class checks its values, in `_restore`
    return dataclasses.dataclass(frozen=True, kw_only=True)(type(cls.__name__, (cls,), body))


def _restore(parsed: Any, base: Any, in_slot: bool = False) -> Any:
    """Undo `_retype`."""
    values = {}
    for option in options(base):
        name, value = option.field.name, getattr(parsed, option.field.name)
        if option.parts:
            now = value if isinstance(option.value, tuple) else [value]
            made = [_restore(new, old, _is_model(option)) for new, (old, _) in zip(now, option.parts, strict=True)]
            value = put(option.value, made)
        elif in_slot and name in HELD:
            value = option.value
        elif isinstance(option.value, dict):
            value = dict(value)
        values[name] = value
    return make(base, values)


def _is_model(option: Option) -> bool:
    return option.slot is not None and option.slot.kind == "models"


def _describe(config: Any, own: str) -> str:
    """The docstring, with the components that each slot can take."""
    lines = [(type(config).__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")]
    for option in walk(config):
        if slot := option.slot:
            names = [item.called(own) for item in slot.offered(own)] + ["none"] * slot.optional
            path = " | PATH of a trained one" * (slot.kind == "models")
            lines.append(f"--{option.key} {' | '.join(names)} | module:Class{path}{' (one or more)' * slot.many}")
    return "\n".join(lines)
