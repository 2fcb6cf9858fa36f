"""`genkit completion`: candidates for the shell, taken from the registry."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, Literal

from genkit.errors import UsageError
from genkit.kinds import KINDS, PRESETS
from genkit.plugin import registry

BASH = r"""# genkit completion for bash; use: eval "$(genkit completion bash)"
_genkit() {
    local IFS=$'\n'
    COMPREPLY=($(genkit completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _genkit genkit
"""
ZSH = r"""#compdef genkit
# genkit completion for zsh; use: eval "$(genkit completion zsh)"
_genkit() {
    local -a found
    found=("${(@f)$(genkit completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _genkit genkit
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH}
CONFIGURED = ("run", "show", "sweep")  # commands that take the options of an experiment


@dataclass(frozen=True)
class Completion:
    """Print the completion script of bash or zsh."""

    text: str

    @classmethod
    def parse(cls, words: list[str]) -> Completion:
        """Parse ``bash``, ``zsh`` or, as the scripts call it, ``--words`` and what was typed after genkit."""
        if words[:1] == ["--words"]:
            return cls("".join(f"{c}\n" for c in candidates(words[1:])))
        if words in (["-h"], ["--help"]):
            return cls('usage: genkit completion bash|zsh\n\nfor good: eval "$(genkit completion bash)" in ~/.bashrc\n')
        if len(words) != 1 or words[0] not in SCRIPTS:
            raise UsageError(f"completion {' '.join(words)}: expected the shell, bash or zsh")
        return cls(SCRIPTS[words[0]])

    def run(self) -> None:
        """Print it."""
        print(self.text, end="")


def candidates(words: list[str]) -> list[str]:
    """What the last word, which may be empty, can become. An empty list leaves files to the shell."""
    *before, last = words or [""]
    try:
        found = _candidates([w for w in before if w != "="], last)  # bash makes = a word of its own
    except (Exception, SystemExit):  # a half-typed line is no reason for a message in the middle of it
        return []
    return sorted({c for c in found if c.startswith(last)})


def _candidates(before: list[str], last: str) -> list[str]:
    if not before:
        return [*(item.short for item in registry().items("commands")), "--help", "--version"]
    command, rest = before[0], before[1:]
    if command in CONFIGURED:
        return _configured(command, rest, last)
    if command == "list" and not rest:
        return [*KINDS, "all"]
    if command == "completion" and not rest:
        return list(SCRIPTS)
    if command == "data":
        if not rest:
            return ["list", "fetch", "path"]
        names = [item.name for item in registry().items("datasets")]
        return names if len(rest) == 1 and rest[0] != "list" else []
    if command in ("import", "export") and (not rest if command == "import" else rest[-1:] == ["--to"]):
        return [item.short for item in registry().items("formats")]
    if last[:1] != "-":
        return []
    offered = {item.short: item.name for item in registry().items("commands")}
    cls: Any = registry().load("commands", offered[command])
    made: Any = next((f.default_factory for f in _fields(cls) if f.name == "options"), cls)  # beside those of a model
    return [f"--{name}" for name in _named(made)]


def _configured(command: str, rest: list[str], last: str) -> list[str]:
    """After ``genkit run``: the experiment, then options and their values."""
    if not rest:
        return [item.name for item in registry().items("experiments")]
    from genkit.cli.run import RunOptions

    if rest[-1] == "--preset":
        return list(PRESETS)
    extra: list[type] = [RunOptions]
    if command == "sweep":
        from genkit.cli.sweep import Options

        extra.append(Options)
    general = {f"--{f.name}": hint for cls in extra for f, hint in zip(_fields(cls), _hints(cls), strict=True)}
    if rest[-1] in general and not last.startswith("-"):
        return _values(general[rest[-1]])
    from genkit.experiment import preset_of

    item = registry().find("experiments", rest[0])
    base = preset_of(registry().load("experiments", rest[0]), "default")
    typed = rest[1:-1] if rest[-1].startswith("-") else rest[1:]  # its value is what is asked for
    offered = _options(base, typed, item.plugin or "core")
    what = offered.get(rest[-1].removeprefix("--"))
    if what is not None and not last.startswith("-") and (values := _values(what)):
        return values
    return [*(f"--{name}" for name in offered), *general]


def _options(config: Any, words: list[str], own: str) -> dict[str, Any]:
    """The options of a configuration with the components that the words choose; of a slot, the names it takes."""
    from genkit.experiment import Choice, choose, walk

    out = {}
    for option in walk(choose(config, list(words), Choice(own=own), {})):
        if option.field.name in ("restore", "fingerprint"):  # what a path in the slot sets
            continue
        if option.slot:
            names = [item.called(own) for item in option.slot.offered(own)]
            out[option.key] = Literal[(*names, *["none"] * option.slot.optional)]
        elif not option.parts:
            out[option.key] = option.hint
    return out


def _values(hint: Any) -> list[str]:
    """The values of a type, where they can be counted."""
    if hint is bool:
        return ["True", "False"]
    return [str(value) for value in typing.get_args(hint)] if typing.get_origin(hint) is Literal else []


def _named(cls: type) -> list[str]:
    """The fields of a command that are options, not positions."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return [f.name for f in _fields(cls) if not hasattr(hints[f.name], "__metadata__")]


def _fields(cls: Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(cls)


def _hints(cls: type) -> list[Any]:
    hints = typing.get_type_hints(cls)
    return [hints[f.name] for f in _fields(cls)]
