"""`check_config`, `check_experiment` and `check_plugin`: what the command line and the registry expect.

They look at the whole toolkit from above, so the rooms that they need are imported where they are used.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
import textwrap
from itertools import pairwise
from typing import Any

import yaml

from genkit.kinds import EXCHANGES, KINDS, PRESETS, exchanged, signature
from genkit.plugin import GROUP, registry
from genkit.testing.programs import check_programs
from genkit.testing.require import claim, require

HEAVY = ("jax", "flax", "optax", "orbax", "grain", "scipy", "matplotlib", "xarray")
NOT_CONFIGURED = ("benchmarks", "commands", "loggers")


def check_config(cls: type) -> None:
    """Raise AssertionError unless an experiment or a component can be configured.

    It is a frozen dataclass with a docstring; each field, those of nested dataclasses too, has a string below it or
    a comment beside it, which `--help` shows; an experiment has the presets tiny, default and paper; each preset
    comes back from YAML and the words of a command line as it was.
    """
    from genkit.experiment import Experiment, differences, preset_of, with_options, write_yaml

    name = cls.__qualname__
    params = getattr(cls, "__dataclass_params__", None)
    require(params is not None and params.frozen, f"{name} is no frozen dataclass; its fields are its options")
    made = {}
    for preset in PRESETS if issubclass(cls, Experiment) or hasattr(cls, "preset") else ("default",):
        with claim(f"preset {preset!r} of {name}"):
            made[preset] = preset_of(cls, preset)
        require(type(made[preset]) is cls, f"preset {preset!r} of {name} is a {type(made[preset]).__name__}")
    _check_help(made["default"])
    for preset, config in made.items():
        with claim(f"{name}, preset {preset!r}, does not come back from its options"):
            options = yaml.safe_load(write_yaml(config, preset, 0))["options"]
            again = with_options(made["default"], options)
            require(again == config, (differences(config, again) or ["it differs"])[0])


def check_experiment(name: str) -> None:
    """Raise AssertionError unless all programs of an experiment's preset tiny would run on a GPU and a TPU.

    Its stages prepare, train and sample are gone through by `genkit.experiment.rehearse`, where nothing is compiled,
    and the programs that they call are looked at by `check_programs`.

    Args:
        name: as registered.
    """
    from genkit.experiment import preset_of, rehearse

    found = rehearse(preset_of(registry().load("experiments", name), "tiny"))
    if found.error is not None:
        raise AssertionError(
            f"{name} stops after {list(found.stages)} at made-up numbers: {found.error}"
        ) from found.error
    require(found.seen.calls, f"{name} calls no compiled program")
    with claim(name):
        check_programs(found.seen.programs)


def check_plugin(name: str) -> None:
    """Raise AssertionError unless an installed plugin is in order.

    Its import loads nothing heavy, its names and summaries are in form, and everything that it registers can be
    imported and is of its kind; what takes options passes `check_config`.

    Args:
        name: of the entry point in the group ``genkit.plugins``.
    """
    installed = {one.name: one for one in registry().installed}
    require(name in installed, f"no plugin {name!r} is installed; there are {', '.join(installed)}")
    plugin = installed[name].plugin
    if plugin is None:
        raise AssertionError(f"plugin {name!r} is broken: {installed[name].error}")
    require(re.fullmatch(r"[a-z][a-z0-9_]*", name), f"plugin name {name!r}; expected small letters, digits, _")
    _check_line(f"plugin {name!r}", plugin.summary)
    _check_light(name)
    for kind in KINDS:
        for item, (_, summary, *_) in getattr(plugin, kind).items():
            full = f"{name}.{item}"
            require(
                re.fullmatch(r"[a-z][a-z0-9_-]*", item), f"item name {full!r}; expected small letters, digits, _ and -"
            )
            _check_line(full, summary)
            with claim(f"{kind}, {full}"):
                cls = registry().load(kind, full)
                _check_exchange(full, kind, cls)
                if kind not in NOT_CONFIGURED:
                    check_config(cls)


def _check_line(what: str, summary: str) -> None:
    require(summary.strip() and "\n" not in summary, f"{what} has the summary {summary!r}; expected one line")


def _check_exchange(full: str, kind: str, cls: type) -> None:
    """The third text of a registry is what the annotations of the class say."""
    written, found = registry().find(kind, full).exchange, signature(kind, exchanged(kind, cls))
    require(
        not written or written == found,
        f"{full} is registered with {written!r}, but the annotations of {cls.__qualname__}.{EXCHANGES.get(kind)} say "
        + (f"{found!r}; write {found!r} as its third text" if found else "nothing; annotate it"),
    )


def _check_light(name: str) -> None:
    """Import the plugin's module in a new process."""
    module = next(e.module for e in importlib.metadata.entry_points(group=GROUP) if e.name == name)
    code = f"import sys, {module}; print(*({{*{HEAVY}}} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    require(done.returncode == 0, f"import {module} fails in a new process: {(done.stderr.splitlines() or [''])[-1]}")
    heavy = (done.stdout.splitlines() or [""])[-1].split()
    require(not heavy, f"import {module} loads {', '.join(heavy)}; register by strings, and import late")


def _check_help(config: Any) -> None:
    """The docstring of a configuration, and the help of its fields."""
    cls, documented = type(config), set()
    for base in cls.__mro__:
        if "__dataclass_fields__" not in vars(base):
            continue
        source = textwrap.dedent(inspect.getsource(base))
        lines, body = source.splitlines(), ast.parse(source).body[0].body  # type: ignore[attr-defined]
        for one, after in pairwise([*body, ast.Pass()]):
            if isinstance(one, ast.AnnAssign):
                below = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if below or "#" in lines[(one.end_lineno or 1) - 1][one.end_col_offset :]:
                    documented.add(ast.unparse(one.target))
    written = cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}(")  # else dataclasses wrote it
    require(written, f"{cls.__qualname__} has no docstring; its first paragraph is what `--help` shows")
    for f in dataclasses.fields(config):
        require(
            f.name in documented,
            f"{cls.__qualname__}.{f.name} has no help; put a string below it or a comment beside it",
        )
        if dataclasses.is_dataclass(value := getattr(config, f.name)):
            _check_help(value)
