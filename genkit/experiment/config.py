"""Configurations: frozen dataclasses with slots for components, read from options or a file.

Options are parsed in two stages. First the names: ``--sampler dpmpp_2s`` puts the preset of that component
into its slot. Then everything else: the dataclass is re-made with the chosen classes as types and handed to
tyro, so that each component's own fields are options, ``--sampler.steps 20``. A slot for several components,
a tuple of them, takes ``--methods ddsmc dps`` and then ``--methods.0.steps 50``. A config file and the Python
call go through the same parser.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from genkit.errors import UsageError
from genkit.kinds import KINDS
from genkit.plugin import registry

TYRO = {"config": (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff), "use_underscores": True}


@dataclasses.dataclass(frozen=True)
class Slot:
    """A field that takes a registered component of a kind."""

    kind: str
    optional: bool = False
    many: bool = False


def slots(cls: type) -> dict[str, Slot]:
    """The slots of a configuration class: fields annotated with a kind's Protocol P, `P | None` or `tuple[P, ...]`."""
    found = {}
    for name, hint in typing.get_type_hints(cls).items():
        many = typing.get_origin(hint) is tuple
        options = typing.get_args(hint) if many or isinstance(hint, types.UnionType) else (hint,)
        for kind, protocol in KINDS.items():
            if protocol in options:
                found[name] = Slot(kind, type(None) in options, many)
    return found


def is_component(value: Any) -> bool:
    """Whether a value is a dataclass, or several of them in a tuple or list."""
    several = isinstance(value, (tuple, list)) and value
    return all(map(is_component, value)) if several else dataclasses.is_dataclass(value)


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


def config(name: str, preset: str = "default", options: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """Configure an experiment, as ``genkit run`` does.

    `name` is a registered name or ``module:Class``. Options are keyed as on the command line
    (``{"sampler": "dpmpp_2s", "sampler.steps": 20}``); keywords are the same for undotted keys. A value may
    be a component itself (``data=MyData(...)``). Raises `UsageError`.
    """
    return _configure(name, preset, {**(options or {}), **more}, trust=True)


def _configure(name: str, preset: str, chosen: Mapping[str, Any], trust: bool) -> Any:
    """`config`; without `trust` no own code is imported."""
    base = preset_of(_load("experiments", name, None, trust), preset)
    direct = {
        key: tuple(value) if isinstance(value, list) else value for key, value in chosen.items() if is_component(value)
    }
    for key in direct:
        if "." in key or key not in {f.name for f in dataclasses.fields(base)}:
            raise UsageError(f"{name} has no field {key!r} that takes a component")
    base = dataclasses.replace(base, **direct)
    own = registry().find("experiments", name).name.partition(".")[0]
    options = {key: value for key, value in chosen.items() if key not in direct}
    return with_options(base, options, preset, own, name, trust)


def with_options(
    base: Any,
    options: Mapping[str, Any],
    preset: str = "default",
    own: str = "core",
    name: str = "options",
    trust: bool = True,
) -> Any:
    """A configuration or component with other values, keyed as on the command line; see `config` and `parse`.

    `name` begins the message of the `UsageError` that a wrong option raises.
    """
    words = [w for key, value in options.items() for w in _words(key, value)]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            return parse(base, words, preset, own, prog=name, trust=trust)[0]
    except SystemExit:
        lines = [re.sub(r"[│╭╮╰╯─|]|--+(?= |$)", "", line).strip() for line in printed.getvalue().splitlines()]
        text = [
            line for line in lines if line and "full helptext" not in line and not line.endswith(("error", "options"))
        ]
        raise UsageError(f"{name}: " + " ".join(text)) from None


def parse(
    base: Any, words: list[str], preset: str, own: str, prog: str, extra: type | None = None, trust: bool = True
) -> tuple[Any, Any]:
    """Apply command-line words to a configuration; wrong ones end in tyro's message and exit code 2.

    `extra` is a dataclass whose fields are parsed beside those of the configuration, without a prefix.
    Returns the configuration and the instance of `extra`. Without `trust`, names of own code
    (``module:Class``) are refused.
    """
    words, suggested = list(words), {}
    base = _choose(base, words, preset, own, trust, suggested)
    if preset == "default":
        known = flat(base)
        words = [w for key, value in suggested.items() if key in known for w in _words(key, value)] + words
    words = _nones(base, words)
    shown = _retype(base)
    plain = Annotated[type(shown), tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]  # a file gives values
    parts: list[Any] = [("config", plain, shown)]
    if extra is not None:
        parts.insert(0, ("extra", Annotated[extra, tyro.conf.arg(name="")], extra()))
    both = dataclasses.make_dataclass(
        "Options", [(n, hint, dataclasses.field(default_factory=lambda v=v: v)) for n, hint, v in parts]
    )
    parsed = tyro.cli(both, args=words, prog=prog, description=_describe(base, own), **TYRO)
    return _restore(parsed.config, base), getattr(parsed, "extra", None)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A configuration as flat options with full component names: what `parse` turns back into it."""
    found = slots(type(config))
    out: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        key, value = prefix + f.name, getattr(config, f.name)
        if f.name in found:
            kind, several = found[f.name].kind, value if found[f.name].many else [value]
            names = ["none" if one is None else registry().name_of(kind, type(one)) for one in several]
            out[key] = names if found[f.name].many else names[0]
        parts = _components(key, value)
        for where, one in parts:
            out |= flat(one, where + ".")
        if not parts and f.name not in found:
            out[key] = value
    return out


def _components(key: str, value: Any) -> list[tuple[str, Any]]:
    """The dataclasses that a field holds, with the names under which their fields are options."""
    if not is_component(value):
        return []
    return [(f"{key}.{i}", one) for i, one in enumerate(value)] if isinstance(value, tuple) else [(key, value)]


def _replaced(value: Any, parts: list[Any]) -> Any:
    """A field's value with other dataclasses in place of `_components`."""
    return tuple(parts) if isinstance(value, tuple) else parts[0]


def labels(kind: str, components: Sequence[Any]) -> list[str]:
    """Names of several components for results: the item's, and what tells those of one class apart.

    Two of `DDSMC` that differ in `recon` and `steps` become ``ddsmc_ode_steps20`` and ``ddsmc_tweedie_steps50``.
    """
    options = [flat(one) for one in components]
    out = []
    for one, own in zip(components, options, strict=True):
        others = [o for c, o in zip(components, options, strict=True) if type(c) is type(one)]
        differ = [key for key in own if any(o.get(key) != own[key] for o in others)]
        marks = [own[key] if isinstance(own[key], str) else f"{key}{own[key]}" for key in differ]
        out.append("_".join([re.split("[.:]", registry().name_of(kind, type(one)))[-1], *marks]))
    if twice := {name for name in out if out.count(name) > 1}:
        raise UsageError(f"{', '.join(sorted(twice))} among the {kind} more than once with the same options")
    return out


def write_yaml(config: Any, preset: str, seed: int) -> str:
    """The text of config.yaml: enough to replay the run."""
    name = registry().name_of("experiments", type(config))
    options = {key: _plain(value) for key, value in flat(config).items()}
    head = {"experiment": name, "preset": preset, "seed": seed}
    return yaml.safe_dump({**head, "options": options}, sort_keys=False, width=100)


def read_yaml(path: Path, trust: bool = False) -> tuple[Any, str, int]:
    """Read a config.yaml: (configuration, preset, seed).

    A file that names own code (``module:Class``) executes it, so it needs `trust`. Raises `UsageError`.
    """
    try:
        content = yaml.safe_load(path.read_text())
        name, options = str(content["experiment"]), dict(content.get("options") or {})
        preset, seed = str(content.get("preset", "default")), int(content.get("seed", 0))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; expected a config.yaml of a run") from None
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} is no genkit config ({reason}); expected the keys experiment and options") from None
    try:
        return _configure(name, preset, options, trust), preset, seed
    except _Untrusted as error:
        raise UsageError(f"{path} runs code of its own ({error}); give --trust if you trust it") from None


class _Untrusted(UsageError):
    """Own code is named where it must not be; the message is its name."""


def _load(kind: str, name: str, own: str | None, trust: bool) -> type:
    if ":" in name and not trust:
        raise _Untrusted(name)
    return registry().load(kind, name, own)


def differences(a: Any, b: Any) -> list[str]:
    """The options in which two configurations differ, as ``name: this -> that``."""
    one, two = flat(a), flat(b)
    keys = [k for k in {**one, **two} if one.get(k) != two.get(k)]
    return [f"{k}: {one.get(k)} -> {two.get(k)}" for k in keys]


def _choose(
    config: Any,
    words: list[str],
    preset: str,
    own: str,
    trust: bool,
    suggested: dict[str, Any],
    prefix: str = "",
) -> Any:
    """Stage one: take ``--slot NAME`` out of the words and put the component's preset into its slot.

    What the chosen components suggest for other options is collected in `suggested`.
    """
    found = slots(type(config))
    changed = {}
    for f in dataclasses.fields(config):
        key, value = prefix + f.name, getattr(config, f.name)
        slot = found.get(f.name)
        if slot and (names := _take(words, key, slot.many)):
            if "none" in map(str.lower, names):
                if not slot.optional:
                    raise UsageError(f"--{key} none: this slot needs a component")
                value = None
            else:
                chosen = [preset_of(_load(slot.kind, name, own, trust), preset) for name in names]
                for one in chosen:
                    suggested |= getattr(one, "suggests", {})
                value = tuple(chosen) if slot.many else chosen[0]
        if parts := _components(key, value):
            made = [_choose(one, words, preset, own, trust, suggested, where + ".") for where, one in parts]
            value = _replaced(value, made)
        changed[f.name] = value
    return dataclasses.replace(config, **changed)


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


def _nones(config: Any, words: list[str], prefix: str = "") -> list[str]:
    """``none`` written for a plain field that may be None, as Python and tyro write it."""
    for f in dataclasses.fields(config):
        key, value, hint = prefix + f.name, getattr(config, f.name), typing.get_type_hints(type(config))[f.name]
        for where, one in _components(key, value):
            words = _nones(one, words, where + ".")
        if type(None) in typing.get_args(hint):
            pairs = zip(["", *words], words, strict=False)
            words = ["None" if w == "none" and before == f"--{key}" else w for before, w in pairs]
    return words


def _retype(config: Any) -> Any:
    """The same values in a subclass whose annotations are the chosen classes: what tyro can read."""
    cls = type(config)
    hints = typing.get_type_hints(cls, include_extras=True)
    shown, annotations = {}, {}
    for f in dataclasses.fields(config):
        value, hint = getattr(config, f.name), hints[f.name]
        if parts := _components(f.name, value):
            made = [_retype(one) for _, one in parts]
            hint = tuple[tuple(map(type, made))] if isinstance(value, tuple) else type(made[0])
            value = _replaced(value, made)
        elif f.name in slots(cls):  # an empty slot has no options
            hint = tyro.conf.SuppressFixed[tyro.conf.Fixed[type(None)]]
        elif typing.get_origin(hint) is dict:  # a fixed set of keys would be too little
            hint, value = tuple[tuple[typing.get_args(hint)], ...], tuple(value.items())
        shown[f.name], annotations[f.name] = value, hint
    body = {"__annotations__": annotations, "__doc__": cls.__doc__, "__module__": cls.__module__}
    body["__post_init__"] = lambda self: None  # the real class checks its values, in `_restore`
    made = dataclasses.dataclass(frozen=True, kw_only=True)(type(cls.__name__, (cls,), body))
    return made(**shown)


def _restore(parsed: Any, base: Any) -> Any:
    """Undo `_retype`."""
    values = {}
    for f in dataclasses.fields(base):
        before, value = getattr(base, f.name), getattr(parsed, f.name)
        if parts := _components(f.name, before):
            now = value if isinstance(before, tuple) else [value]
            value = _replaced(before, [_restore(new, old) for new, (_, old) in zip(now, parts, strict=True)])
        elif isinstance(before, dict):
            value = dict(value)
        values[f.name] = value
    return type(base)(**values)


def _describe(config: Any, own: str) -> str:
    """The docstring, with the components that each slot can take."""
    lines = [(type(config).__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")]
    for name, slot in slots(type(config)).items():
        names = [i.name.removeprefix(f"{own}.").removeprefix("core.") for i in registry().items(slot.kind)]
        several = " (one or more)" * slot.many
        lines.append(f"--{name} {' | '.join(names + ['none'] * slot.optional)} | module:Class{several}")
    return "\n".join(lines)


def _words(key: str, value: Any) -> list[str]:
    """An option as command-line words."""
    if isinstance(value, Mapping):
        return [f"--{key}", *(str(w) for pair in value.items() for w in pair)]
    if isinstance(value, (tuple, list)):
        flat_values = [w for v in value for w in (v if isinstance(v, (tuple, list)) else [v])]
        return [f"--{key}", *(str(w) for w in flat_values)]
    return [f"--{key}={value}"]


def _plain(value: Any) -> Any:
    """A value as YAML keeps it."""
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return str(value) if isinstance(value, Path) else value
