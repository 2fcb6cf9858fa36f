"""`genkit data`: which data sets there are, and where their files lie."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from genkit.errors import DataError, UsageError
from genkit.plugin import registry

ACTIONS = ("list", "fetch", "path")
USAGE = """usage: genkit data list
       genkit data fetch NAME [--preset P] [options of the data set]
       genkit data path NAME [--preset P] [options of the data set]

list   data sets, and where their files are
fetch  find, download or generate a data set and check it
path   print where its files are (exit code 1 when they are not there yet)

Files are looked for in the folder of GENKIT_DATA, then in the cache, then downloaded or generated."""


@dataclass(frozen=True)
class Data:
    """List, fetch and locate data sets."""

    action: str
    name: str = ""
    dataset: Any = None

    @classmethod
    def parse(cls, words: list[str]) -> Data:
        """Parse ``list``, ``fetch NAME [options]`` or ``path NAME [options]``."""
        if not words or words[0] in ("-h", "--help"):
            print(USAGE)
            raise SystemExit(0)
        action, rest = words[0], words[1:]
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r}; expected one of {', '.join(ACTIONS)}")
        if action == "list":
            if rest:
                raise UsageError(f"data list takes nothing more, got {' '.join(rest)}")
            return cls(action)
        if not rest or rest[0].startswith("-"):
            raise UsageError(f"data {action} needs the name of a data set; `genkit data list` shows them")
        from genkit.experiment import parse, preset_of

        name, rest = rest[0], rest[1:]
        item = registry().find("datasets", name)
        preset = "default"
        if "--preset" in rest[:-1]:
            at = rest.index("--preset")
            preset, rest = rest[at + 1], rest[:at] + rest[at + 2 :]
        base = preset_of(registry().load("datasets", name), preset)
        own = item.plugin
        return cls(action, item.name, parse(base, rest, preset, own, f"genkit data {action} {name}")[0])

    def run(self) -> int:
        """Do it."""
        if self.action == "list":
            return _list()
        if self.action == "fetch":
            self.dataset.load()
            path = located(self.dataset)
            print(f"{self.name} is there and loads" + (f": {path}" if path else ""))
            return 0
        path = located(self.dataset)
        if path is None:
            raise DataError(f"{self.name} has no files yet; `genkit data fetch {self.name}` finds or makes them")
        print(path)
        return 0


def located(dataset: Any) -> Path | None:
    """Where the files of a data set are: what its optional method ``path()`` says, None if not there yet."""
    path: Any = getattr(dataset, "path", None)
    path = path() if callable(path) else path
    return Path(path) if path and Path(path).exists() else None


def _list() -> int:
    from genkit.data import cache_dir

    data, cache = os.environ.get("GENKIT_DATA"), cache_dir()
    print(f"GENKIT_DATA: {data or 'not set'}\ncache: {cache}\n")
    rows = [(item.name, _state(item.name, data, cache), item.summary) for item in registry().items("datasets")]
    names, states = (max(map(len, column)) for column in list(zip(*rows, strict=True))[:2])
    for name, state, summary in rows:
        print(f"  {name:<{names}}  {state:<{states}}  {summary}")
    return 0


def _state(name: str, data: str | None, cache: Path) -> str:
    """In a few words, where a data set is; nothing is fetched, and one that cannot be asked stops nothing."""
    from genkit.data import Absent, only_looking
    from genkit.experiment import preset_of

    try:
        dataset = preset_of(registry().load("datasets", name), "default")
        with only_looking():
            path = located(dataset)
    except Absent:
        return "not yet"
    except (UsageError, DataError):  # no file is named, or it is not here
        return "own files"
    except Exception:
        return "cannot be loaded"
    if path is None:
        if callable(getattr(dataset, "files", None)) or any("Path" in str(f.type) for f in fields(dataset)):
            return "own files"
        return "not yet" if hasattr(dataset, "path") else "needs no file"
    if data and path.is_relative_to(Path(data).expanduser()):
        return "in GENKIT_DATA"
    return "in the cache" if path.is_relative_to(cache) else str(path)
