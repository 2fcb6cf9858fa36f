"""Public data files: looked for in the user's folders, else downloaded, always checked."""

import hashlib
import os
from pathlib import Path

from genkit.data.cache import cache_dir, refuse_making
from genkit.errors import DataError, UsageError


class NotFetched(DataError):
    """A file that is not here, and that a run downloads."""


def own_file(file: str | Path | None, expected: str, folder: bool = False) -> Path:
    """The path of a user's file, or where `folder` allows it of a folder; refuses none, and one that is not there.

    Raises:
        UsageError: no file is named; DataError: it does not exist, or is a folder.
    """
    if not file:
        raise UsageError(f"no file is named; give the path of {expected} as data.file")
    path = Path(file).expanduser()
    if not path.is_file() and not (folder and path.is_dir()):
        raise DataError(f"{path} {'is no file' if path.exists() else 'does not exist'}; expected {expected}")
    return path


def local(name: str, digest: str | None) -> Path | None:
    """The file `name` ("weather/x.npz") in the folder of `GENKIT_DATA`, else in the cache; None where absent.

    A file of that name with other content is refused. `digest` is its SHA-256, or the MD5 (32 digits) of a publisher
    who gives no other; None takes any content.
    """
    for folder in (os.environ.get("GENKIT_DATA"), cache_dir()):
        if folder and (path := Path(folder).expanduser() / name).is_file():
            if digest is None:
                return path
            kind = _kind(digest)
            found = hashlib.new(kind, path.read_bytes()).hexdigest()
            if found != digest:
                name = {"sha256": "SHA-256", "md5": "MD5"}[kind]
                raise DataError(f"{path}: {name} {found[:12]}..., expected {digest[:12]}...; replace the file")
            return path
    return None


def fetch(name: str, digest: str, url: str) -> Path:
    """The file as `local` finds it, else downloaded from `url` into the cache; not under `genkit.programs.watch`."""
    path = local(name, digest)
    if path is not None:
        return path
    refuse_making(name)
    from genkit.programs import watched

    if watched():
        raise NotFetched(f"{name}: not in GENKIT_DATA and not fetched yet; a run fetches it from {url}")
    import pooch

    target = cache_dir() / name
    try:
        pooch.retrieve(url, f"{_kind(digest)}:{digest}", fname=target.name, path=target.parent)
    except Exception as error:  # pooch raises what requests, the disk or its own check raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: not in GENKIT_DATA and not fetched from {url} ({reason[:200]}); "
            "put the file there or try again with a network"
        ) from error
    return target


def _kind(digest: str) -> str:
    return "md5" if len(digest) == 32 else "sha256"
