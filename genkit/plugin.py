"""Plugins and their registry. Nothing here imports jax: listing what is installed must be instant.

A plugin is a light `Plugin` object named by an entry point of the group ``genkit.plugins``; what it registers
are lazy references, ``item = ("module:Class", "one-line summary")``. The core registers its own items in the
same way, under the name ``core``.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from genkit.errors import GenkitError, UsageError
from genkit.kinds import KINDS, singular

API = 2
OLDER = (1,)  # their items have two texts
GROUP = "genkit.plugins"
WORDS = ("commands", "formats")  # kinds whose items the command line names without their plugin
DISTRIBUTION = "genkit-jax"  # that of the core

Items = Mapping[str, tuple[str, str] | tuple[str, str, str]]


@dataclass(frozen=True)
class Plugin:
    """What a plugin registers: for each kind a mapping ``item -> ("module:Class", "summary")``.

    Data sets, networks and models have a third text, what they exchange (see `genkit.kinds`).
    """

    name: str
    summary: str
    api: int = API
    experiments: Items = field(default_factory=dict)
    datasets: Items = field(default_factory=dict)
    networks: Items = field(default_factory=dict)
    models: Items = field(default_factory=dict)
    processes: Items = field(default_factory=dict)
    samplers: Items = field(default_factory=dict)
    operators: Items = field(default_factory=dict)
    noises: Items = field(default_factory=dict)
    methods: Items = field(default_factory=dict)
    graphs: Items = field(default_factory=dict)
    targets: Items = field(default_factory=dict)
    optimizers: Items = field(default_factory=dict)
    benchmarks: Items = field(default_factory=dict)
    commands: Items = field(default_factory=dict)
    loggers: Items = field(default_factory=dict)
    formats: Items = field(default_factory=dict)

    def __new__(cls, name: str = "", summary: str = "", api: int = API, *_: Any, **__: Any) -> Plugin:
        """Refuse another api before `__init__` finds fault with the kinds that it has and this one has not."""
        if api not in (API, *OLDER):
            raise TypeError(f"it speaks plugin api {api}, this genkit speaks {API}; update one of them")
        return super().__new__(cls)


@dataclass(frozen=True)
class Item:
    """A registered component: its full name ``<plugin>.<item>``, where it is defined, its summary, what it exchanges.

    Own code, ``module:Class``, is an item without a plugin.
    """

    name: str
    target: str
    summary: str = ""
    exchange: str = ""

    @property
    def plugin(self) -> str:
        """The plugin that registers it; "" for own code."""
        return "" if self.name == self.target else self.name.partition(".")[0]

    @property
    def short(self) -> str:
        """The name within its plugin."""
        return self.name if self.name == self.target else self.name.partition(".")[2]

    def called(self, own: str) -> str:
        """The shortest name that an experiment of the plugin `own` can use."""
        return self.short if self.plugin in (own, "core") else self.name


@dataclass(frozen=True)
class Installed:
    """An entry point found on this machine; `plugin` is None when it is broken, and `error` says why."""

    name: str
    distribution: str
    plugin: Plugin | None = None
    error: str = ""
    trace: str = ""


def _load(entry: importlib.metadata.EntryPoint) -> Installed:
    """Load one entry point; whatever it raises is kept as the reason why it is broken."""
    dist = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"
    try:
        plugin = entry.load()
        if not isinstance(plugin, Plugin):
            raise TypeError(f"{entry.value} is a {type(plugin).__name__}, not a genkit.plugin.Plugin")
        for kind in KINDS:
            for item, texts in getattr(plugin, kind).items():
                if not (isinstance(texts, tuple) and len(texts) in (2, 3) and all(isinstance(t, str) for t in texts)):
                    raise TypeError(f"its {kind} item {item!r} is {texts!r}, not (module:Class, summary[, exchange])")
        if plugin.name != entry.name:
            raise TypeError(f"its entry point is named {entry.name!r} but the plugin {plugin.name!r}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an import may exit as well
        reason = str(error).splitlines()[0] if str(error) else ""
        return Installed(entry.name, dist, None, f"{type(error).__name__}: {reason}", traceback.format_exc())
    return Installed(entry.name, dist, plugin)


class Registry:
    """All plugins of this machine, broken ones included."""

    def __init__(self, installed: list[Installed]):
        """Names claimed by two distributions count as broken in both, but for that of the core."""
        ordered = sorted(installed, key=lambda one: (one.name != "core", one.name, one.distribution))
        self.installed = [self._unless_claimed(one, installed) for one in ordered]
        self._refuse_taken_words()
        self.plugins = {one.name: one.plugin for one in self.installed if one.plugin}

    @staticmethod
    def _unless_claimed(one: Installed, installed: list[Installed]) -> Installed:
        others = [o.distribution for o in installed if o.name == one.name and o is not one]
        if not others or (one.name == "core" and one.distribution.startswith(f"{DISTRIBUTION} ")):
            return one
        reason = f"the name is also claimed by {', '.join(others)}; uninstall one of them"
        return Installed(one.name, one.distribution, None, reason)

    def _refuse_taken_words(self) -> None:
        """Commands and formats have no prefix: a plugin that claims one of the core, or of one before it, is broken."""
        owner: dict[tuple[str, str], str] = {}
        for i, one in enumerate(self.installed):
            words = [(kind, name) for kind in WORDS for name in (getattr(one.plugin, kind) if one.plugin else ())]
            if taken := [word for word in words if word in owner]:
                (kind, name), other = taken[0], owner[taken[0]]
                reason = f"its {singular(kind)} {name!r} is one of {other!r} already; it needs another name"
                self.installed[i] = Installed(one.name, one.distribution, None, reason)
            elif one.plugin:
                owner |= dict.fromkeys(words, one.name)

    def items(self, kind: str) -> Iterator[Item]:
        """All registered components of a kind, by plugin."""
        for name, plugin in self.plugins.items():
            for item, texts in getattr(plugin, kind).items():
                yield Item(f"{name}.{item}", *texts)

    def find(self, kind: str, name: str, own: str | None = None) -> Item:
        """Find a component by its full name, ``module:Class``, or a short name of `own` or the core.

        Raises `UsageError` with the nearest name when there is none.
        """
        if ":" in name:
            if not all(map(str.isidentifier, name.replace(":", ".").split("."))):
                raise UsageError(f"{name} names no class; expected module:Class, such as my_module:MyData")
            return Item(name, name)
        known = {item.name: item for item in self.items(kind)}
        for full in [name] if "." in name else [f"{own}.{name}", f"core.{name}"]:
            if full in known:
                return known[full]
        one_of = singular(kind)
        for one in self.installed:
            if one.plugin is None and name.partition(".")[0] == one.name:
                raise GenkitError(
                    f"{one_of} {name!r}: the plugin {one.name!r} is broken ({one.error}); "
                    f"`genkit plugins --verbose` shows more"
                )
        shorts = {item.called(own or "core"): item.name for item in known.values()}
        near = difflib.get_close_matches(name, [*known, *shorts], 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
        raise UsageError(f"unknown {one_of} {name!r}; {hint}")

    def load(self, kind: str, name: str, own: str | None = None) -> type:
        """Import the class of a component (see `find`) and check that it serves its kind."""
        item = self.find(kind, name, own)
        try:
            found = imported(item.target, own=not item.plugin)
        except (ImportError, AttributeError) as error:
            wrong = GenkitError if item.plugin else UsageError
            raise wrong(f"{item.name} cannot be loaded: {type(error).__name__}: {error}") from error
        except SystemExit as leave:  # which would end the command without a word
            raise GenkitError(f"{item.name} cannot be loaded: its module exits while it is imported") from leave
        protocol = KINDS[kind]
        if not isinstance(found, type) or not issubclass(found, protocol):
            methods = [
                m for m, f in vars(protocol).items() if callable(f) and m not in ("__init__", "__subclasshook__")
            ]
            raise UsageError(f"{item.name} is no {protocol.__name__}; expected a class with {', '.join(methods)}()")
        return found

    @property
    def broken(self) -> list[Installed]:
        """Those that could not be loaded."""
        return [one for one in self.installed if one.plugin is None]

    @property
    def packages(self) -> set[str]:
        """Top-level packages of the core and of the installed plugins: code that the user has installed as genkit's."""
        kinds = [kind for kind in KINDS if kind != "commands"]
        targets = {item.target for kind in kinds for item in self.items(kind)}
        return {"genkit", *(target.partition(":")[0].partition(".")[0] for target in targets)}

    def name_of(self, kind: str, cls: type) -> str:
        """The full name of a component's class; ``module:Class`` where it is not registered."""
        for item in self.items(kind):
            module, _, name = item.target.partition(":")  # may be a re-export, so the class itself is compared
            if getattr(sys.modules.get(module), name, None) is cls:
                return item.name
        return f"{cls.__module__}:{cls.__qualname__}"


def imported(target: str, own: bool = False) -> Any:
    """What ``module:name`` stands for; own code may lie beside the user, as with `python -m`."""
    module, _, qualname = target.partition(":")
    if "=" in module:  # such a text is not taken for code where that is asked for trust
        raise ImportError(f"{module!r} is no name of a module")
    if own and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


@functools.cache
def registry() -> Registry:
    """The plugins of this process; the variable GENKIT_PLUGINS=a,b restricts them (the core stays)."""
    only = os.environ.get("GENKIT_PLUGINS")
    names = None if only is None else {"core", *only.split(",")}
    entries = importlib.metadata.entry_points(group=GROUP)
    unique = {(e.name, e.value, e.dist.name if e.dist else ""): e for e in entries}
    return Registry([_load(e) for e in unique.values() if names is None or e.name in names])


assert {f.name for f in fields(Plugin)} >= set(KINDS)
