"""Configurations: frozen dataclasses with slots for components, made from options or read from a file.

A config file and the Python call go through the parser of the command line (`genkit.experiment.parse`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError, UsageError
from genkit.experiment.parse import Choice, Untrusted, choose, parse, preset_of, words_of
from genkit.experiment.slots import Naming, is_component, main_model, unchecked, walk
from genkit.files import dump_yaml
from genkit.files import read_yaml as file_yaml
from genkit.kinds import PRESETS
from genkit.plugin import registry

FORMAT = 2  # of config.yaml; the first one, which did not say so, had no models
KEYS = ("format", "experiment", "preset", "seed", "changed", "options")


def config(name: str, preset: str = "default", options: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """Configure an experiment, as ``genkit run`` does.

    `name` is a registered name or ``module:Class``. Options are keyed as on the command line
    (``{"sampler": "dpmpp_2s", "sampler.steps": 20}``); keywords are the same for undotted keys. A value may
    be a component itself (``data=MyData(...)``). Raises `UsageError`.
    """
    made = _configure(name, preset, {**(options or {}), **more}, trust=True)
    with contextlib.suppress(AttributeError):  # of a class with slots
        object.__setattr__(made, "_preset", preset)  # no option of it, but a run says where it began
    return made


def starting_preset(config: Any) -> str:
    """The preset that `config` began with; of what something else made, as `dataclasses.replace`, the nearest one.

    Presets of an experiment's own, beside tiny, default and paper, are known where `config` made the configuration.
    """
    if began := getattr(config, "_preset", None):
        return began
    found = [(len(keys), name != "default", name) for name in PRESETS if (keys := changed(config, name)) is not None]
    return min(found)[-1] if found else "default"


def changed(config: Any, preset: str) -> list[str] | None:
    """The options that are not as the preset has them; None where its class has no such preset.

    Of a component that the preset does not have, those that are not as it comes when it is chosen.
    """
    try:
        base = flat(preset_of(type(config), preset))
    except Exception:  # own classes refuse in ways of their own
        return None
    found, out = flat(config), []
    for option in walk(config):
        key = option.key
        if key not in found or (key in base and base[key] == found[key]):
            continue
        out.append(key)
        for part, naming in option.parts:
            with contextlib.suppress(Exception):
                base |= flat(preset_of(type(part), preset), naming)
    return out


def _configure(name: str, preset: str, chosen: Mapping[str, Any], trust: bool) -> Any:
    """`config`; without `trust` no own code is imported."""
    item, cls = Choice(trust=trust).found("experiments", name)
    base, own, main = preset_of(cls, preset), item.plugin or "core", main_model(cls)
    direct = {
        key: tuple(value) if isinstance(value, list) else value for key, value in chosen.items() if is_component(value)
    }
    options = {key: value for key, value in chosen.items() if key not in direct}
    if direct and main in options:  # first, as it may bring the fields that are given
        base = choose(base, words_of(main, options.pop(main)), Choice(preset, own, trust), {})
    for key, value in direct.items():
        base = _with(base, key, value, main, name)
    return with_options(base, options, preset, own, name, trust)


def _with(config: Any, key: str, value: Any, main: str | None, name: str) -> Any:
    """The configuration with a component in one of its fields, or of its main model."""
    if key in {f.name for f in dataclasses.fields(config)}:
        return unchecked(config, **{key: value})
    model = getattr(config, main) if main else None
    if model is None:
        raise UsageError(f"{name} has no field {key!r} that takes a component")
    return unchecked(config, **{str(main): _with(model, key, value, main_model(type(model)), name)})


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
    words = [w for key, value in options.items() for w in words_of(key, value)]
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


def flat(config: Any, naming: Naming = str) -> dict[str, Any]:
    """A configuration as flat options with full component names: what `parse` turns back into it."""
    out: dict[str, Any] = {}
    for option in walk(config, naming):
        if option.slot:
            several = option.value if option.slot.many else [option.value]
            names = ["none" if one is None else registry().name_of(option.slot.kind, type(one)) for one in several]
            out[option.key] = names if option.slot.many else names[0]
        elif not option.parts:
            out[option.key] = option.value
    return out


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
    """The text of config.yaml: enough to replay the run, and which options the preset has otherwise."""
    name = registry().name_of("experiments", type(config))
    options = {key: _plain(value) for key, value in flat(config).items()}
    head = {"format": FORMAT, "experiment": name, "preset": preset, "seed": seed}
    return dump_yaml({**head, "changed": changed(config, preset) or [], "options": options})


def format_of(path: Path) -> int:
    """The format of a config.yaml."""
    content = file_yaml(path) if path.is_file() else None
    return int(content.get("format", 1)) if isinstance(content, dict) else FORMAT


def read_yaml(path: Path, trust: bool = False) -> tuple[Any, str, int]:
    """Read a config.yaml: (configuration, preset, seed).

    A file that names own code (``module:Class``) executes it, so it needs `trust`. Raises `UsageError`.
    """
    try:
        content = file_yaml(path)
        if not isinstance(content, dict):
            raise TypeError("it is empty" if content is None else f"it holds a {type(content).__name__}")
        name, options = str(content["experiment"]), dict(content.get("options") or {})
        preset, seed = str(content.get("preset", "default")), int(content.get("seed", 0))
        written = int(content.get("format", 1))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; expected a config.yaml of a run") from None
    except GenkitError as error:
        raise UsageError(str(error)) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} is no genkit config ({reason}); expected the keys experiment and options") from None
    if written > FORMAT:
        raise UsageError(f"{path} has format {written}, this genkit reads up to {FORMAT}; update genkit")
    if strange := [key for key in content if key not in KEYS]:
        raise UsageError(f"{path} has the key {strange[0]!r} beside {', '.join(KEYS)}; options stand below options:")
    try:
        return _configure(name, preset, options, trust), preset, seed
    except Untrusted as error:
        raise UsageError(f"{path} runs code of its own ({error}); give --trust if you trust it") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def differences(a: Any, b: Any) -> list[str]:
    """The options in which two configurations differ, as ``name: this -> that``."""
    one, two = flat(a), flat(b)
    keys = [k for k in {**one, **two} if one.get(k) != two.get(k)]
    return [f"{k}: {one.get(k)} -> {two.get(k)}" for k in keys]


def _plain(value: Any) -> Any:
    """A value as YAML keeps it."""
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return str(value) if isinstance(value, Path) else value
