"""`genkit import`: weights from elsewhere as a trained model that every command takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError, UsageError


@dataclass(frozen=True)
class ImportOptions:
    """Options beside those of the format."""

    out: Path | None = None
    """Folder of the model, which is made."""


@dataclass(frozen=True)
class Import:
    """Read a trained model from another package's files."""

    source: str
    path: Path
    format: Any = None
    options: ImportOptions = field(default_factory=ImportOptions)

    @classmethod
    def parse(cls, words: list[str]) -> Import:
        """Parse ``FORMAT PATH --out MODEL [options]``; which options there are depends on the format."""
        if not words or words[0].startswith("-"):
            print("usage: genkit import FORMAT PATH --out MODEL [options]\n\nFORMAT: " + ", ".join(readable()))
            print("`genkit import FORMAT --help` shows the options of that format")
            raise SystemExit(0 if words and words[0] in ("-h", "--help") else 2)
        from genkit.experiment import parse, set_up

        set_up()
        name, rest = words[0], words[1:]
        format, own = format_named(name)
        prog, path = f"genkit import {name} PATH", Path()
        if not {"-h", "--help"} & set(rest):
            if not rest or rest[0].startswith("-"):
                raise UsageError(f"genkit import {name} needs the path of what to read, before its options")
            path, rest = Path(rest[0]).expanduser(), rest[1:]
        made, options = parse(format, rest, "default", own, prog, ImportOptions)
        if options.out is None:
            raise UsageError(f"genkit import {name} needs --out MODEL, the folder to make")
        return cls(name, path, made, options)

    def run(self) -> None:
        """Read, check and save."""
        from genkit.model import has_model, save

        out: Path = self.options.out  # type: ignore[assignment]
        if has_model(out):
            raise UsageError(f"--out {out} has a model already; give a new folder")
        if not self.path.exists():
            raise GenkitError(f"there is no {self.path}")
        trained, recipe = self.format.read(self.path)
        saved = save(trained, out, recipe, imported=self.source, file=self.path.name)
        print(f"{out}: {saved!r}")


def readable() -> list[str]:
    """Names of the formats that can be read."""
    from genkit.model import Format
    from genkit.plugin import registry

    items = list(registry().items("formats"))
    classes = {item.short: registry().load("formats", item.name) for item in items}
    return [name for name, cls in classes.items() if getattr(cls, "read", None) is not Format.read]


def format_named(name: str) -> tuple[Any, str]:
    """A format and the plugin that has it; formats need no prefix."""
    from genkit.plugin import registry

    offered = {item.short: item for item in registry().items("formats")}
    full = offered[name].name if name in offered else name
    cls = registry().load("formats", full)
    return cls(), offered[name].plugin if name in offered else full.partition(".")[0]
