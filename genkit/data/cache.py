"""Generated files, kept in a cache folder under the hash of the parameters that made them."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError

_only_looking = ContextVar("only looking", default=False)


class Absent(GenkitError):
    """A file is not here, and is neither downloaded nor made while one only looks."""


@contextlib.contextmanager
def only_looking() -> Iterator[None]:
    """Within this nothing is downloaded or made: where that would begin, `Absent` is raised."""
    token = _only_looking.set(True)
    try:
        yield
    finally:
        _only_looking.reset(token)


def refuse_making(name: str) -> None:
    """Raise `Absent` while one only looks."""
    if _only_looking.get():
        raise Absent(f"{name} is not here yet")


def cache_dir() -> Path:
    """The cache folder: `GENKIT_CACHE` where set, else the user's cache folder of the operating system."""
    named = os.environ.get("GENKIT_CACHE")
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("genkit"))


def fingerprint(params: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that depend on every name and value of `params`, not on their order.

    Values are what JSON holds (numbers, strings, lists, dicts); anything else enters by its `repr`.
    """
    text = json.dumps(dict(params), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def location(name: str, params: Mapping[str, Any]) -> Path:
    """Where the file `name` for `params` is, or will be."""
    stem, suffix = os.path.splitext(name)
    return _place(f"{stem}-{fingerprint(params)}{suffix}")


def cached(name: str, params: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """The file `name` for `params`; where the cache has none, `make(path)` writes it first.

    `name` carries the suffix ("qg_nature.npz"). `make` writes to a temporary path (same suffix, same file system),
    which is renamed when it has returned: a reader never sees half a file, and of two processes that make the
    same file at once the one that ends last wins, with the same content. What `make` writes with made-up numbers, under
    `genkit.programs.watch`, is gone when that ends.
    """
    path = location(name, params)
    if path.exists():
        return path
    refuse_making(name)
    from genkit.programs import watched

    path.parent.mkdir(parents=True, exist_ok=True)
    folder, seen = Path(tempfile.mkdtemp(prefix=".making-", dir=path.parent)), watched()
    before = len(seen.calls) if seen else 0
    try:
        make(folder / name)
        if seen and len(seen.calls) > before:
            path = seen.folder / path.relative_to(cache_dir())
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / name, path)
        else:
            os.replace(folder / name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return path


def _place(own: str) -> Path:
    path = cache_dir() / own
    if not path.exists():
        from genkit.programs import watched

        if (seen := watched()) and (seen.folder / own).exists():
            return seen.folder / own
    return path
