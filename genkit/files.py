"""Whole files: there complete or not at all when written, and when read nothing but what they should be.

A folder may come from a stranger or from a disk that failed. What is no file, too large, damaged or of another shape is
one line that names it and says what to do; nothing that is read is executed.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import json
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from genkit.errors import DataError, GenkitError

JSON_LIMIT = 64_000_000  # bytes
YAML_LIMIT = 8_000_000
DEPTH = 100  # of nested lists and mappings
MEND = "take it from a copy"
GZIP = b"\x1f\x8b"
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file: it is there complete or not at all. Raises `GenkitError` when the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise GenkitError(f"cannot write {path}: {error.strerror}; make room or choose another place") from error


def check_place(path: Path, folder: bool = False) -> None:
    """Refuse a file that cannot be written, or a folder, before what goes there is made. Raises `GenkitError`."""
    first = next(above for above in path.absolute().parents if os.path.exists(above))
    if os.path.isdir(path) and not folder:
        why = "it is a folder"
    elif not first.is_dir():
        why = f"{first} is a file"
    elif not os.access(first, os.W_OK | os.X_OK):
        why = f"{first} is not to be written"
    else:
        return
    raise GenkitError(f"cannot write {path}: {why}; choose another place")


def write_json(path: Path, content: Any) -> None:
    """Write JSON as a whole file."""
    write(path, json.dumps(content, indent=1, allow_nan=False, default=str) + "\n")


def read_json(path: Path, missing: Any, mend: str = MEND) -> Any:
    """Read JSON, or return `missing` where there is no file; it must be of the type of `missing`.

    Raises `GenkitError`, which ends with `mend`, what to do.
    """
    try:
        content = json.loads(read_text(path, JSON_LIMIT, mend))
    except FileNotFoundError:
        return missing
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"is not JSON ({error})", mend) from None
    if type(content) is not type(missing):
        raise damaged(path, f"holds a {type(content).__name__}, expected a {type(missing).__name__}", mend)
    return content


def read_yaml(path: Path, mend: str = MEND) -> Any:
    """Read YAML of plain values: without aliases, which can stand for much in little, or deep nesting.

    Raises FileNotFoundError, and `GenkitError`, which ends with `mend`.
    """
    return parse_yaml(read_text(path, YAML_LIMIT, mend), path, mend)


def parse_yaml(text: str, path: Path, mend: str = MEND) -> Any:
    """The content of YAML that was read from a file; see `read_yaml`."""
    try:
        return yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise damaged(path, f"is not YAML as genkit writes it ({reason[:200]})", mend) from None


def dump_yaml(content: Any, **options: Any) -> str:
    """YAML that `read_yaml` takes."""
    return yaml.dump(content, Dumper=_Unaliased, sort_keys=False, width=100, **options)


class _Plain(yaml.SafeLoader):
    """Neither aliases nor more than `DEPTH` levels, and no key twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"it has the alias *{self.peek_event().anchor}")
        if self.depth >= DEPTH:
            raise yaml.YAMLError(f"it is nested more than {DEPTH} levels deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            words = Counter(getattr(key, "value", "") for key, _ in node.value)
            raise yaml.YAMLError(f"it has the key {words.most_common(1)[0][0]!r} more than once")
        return found


class _Unaliased(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def read_text(path: Path, limit: int, mend: str = MEND) -> str:
    """The text of a file of at most `limit` bytes. Raises FileNotFoundError, `GenkitError`."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would wait for ever
            raise GenkitError(f"{path} is no file; expected text, remove it")
        if about.st_size > limit:
            raise damaged(path, f"has {about.st_size:,} bytes, expected at most {limit:,}", mend)
        return path.read_text()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GenkitError(f"cannot read {path}: {error.strerror}; check who may read it") from None
    except UnicodeDecodeError:
        raise damaged(path, "is no text", mend) from None


def text_of(path: Path, expected: str) -> str:
    """The text of a file, lines ending in a line feed; it may be packed with gzip; `expected` says what it should hold.

    A byte-order mark tells the encoding; else it is UTF-8, or Latin-1 where that fails, whose every byte is a letter.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise DataError(f"{path} {reason}; expected {expected}") from None
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path} is damaged gzip ({error}); fetch it again") from None
    elif path.suffix.lower() == ".gz":
        raise DataError(f"{path} is not packed with gzip; rename it without .gz, or pack it")
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "")
    if not encoding and b"\0" in content:
        raise DataError(f"{path} is no text, as it holds zero bytes; expected {expected}, in UTF-8")
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(f"{path} begins as {encoding} but is not ({error.reason}); save it as UTF-8") from None
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def damaged(path: Path, what: str, mend: str = MEND) -> GenkitError:
    """The error of a file that is not what it should be."""
    return GenkitError(f"{path} {what}; it was changed by hand or the disk failed: {mend}")


def check_plain(folder: Path, names: Sequence[str] | None = None) -> None:
    """Refuse a folder in which something is no file or folder, or a link leads out of it; raises `GenkitError`.

    With `names`, these alone are looked at. What vanishes meanwhile is nothing to refuse: a training renames folders.
    """
    root, waiting = folder.resolve(), [folder]
    if names is not None:
        waiting.clear()
        for name in names:
            _check_plain(folder / name, folder, root)
    while waiting:
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as found:
            for one in found:
                _check_plain(Path(one.path), folder, root)
                if one.is_dir(follow_symlinks=False):
                    waiting.append(Path(one.path))


def _check_plain(path: Path, folder: Path, root: Path) -> None:
    if path.is_symlink():
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise GenkitError(f"{path} is a link that leaves {folder}; put what it points to in its place")
    elif not path.is_file() and not path.is_dir() and path.exists():
        raise GenkitError(f"{path} is neither a file nor a folder (a pipe or a device); remove it")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as an .npz file, as a whole file."""
    content = io.BytesIO()
    np.savez(content, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    write(path, content.getvalue())


def read_arrays(path: Path, mend: str = "delete it and make it again: `genkit evaluate RUN`") -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Raises `GenkitError`, which ends with `mend`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        raise GenkitError(f"{path} does not exist; {mend}") from None
    except (OSError, ValueError, EOFError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path, f"is no .npz file ({error})", mend) from None
