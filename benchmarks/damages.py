"""Bad things that may happen to the files of a run folder, drawn at random."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
from pathlib import Path
from typing import Any

EVIL = "<script>alert('x')</script>\"&amp;[red]x[/r] :smile: \x1b[2J"
SCALARS: list[Any] = [0, -1, 1e308, "x", EVIL, None, [], {}, [[]], True, 10**30]


def damage(folder: Path, outside: Path, draw: random.Random) -> str:
    """Do something bad to a run folder; returns what."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    texts = [p for p in files if p.suffix in (".json", ".yaml", ".jsonl")]
    path = draw.choice(texts if draw.random() < 0.6 else files)
    kind = draw.choice(sorted(DAMAGES))
    DAMAGES[kind](path, outside, draw)
    return f"{kind} {path.relative_to(folder)}"


def _cut(path: Path, outside: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: draw.randrange(max(1, path.stat().st_size))])


def _flip(path: Path, outside: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"x")
    for _ in range(draw.choice((1, 2, 20))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _noise(path: Path, outside: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.choice((0, 1, 100, 100_000))))


def _retype(path: Path, outside: Path, draw: random.Random) -> None:
    """One value of a JSON or YAML file becomes another."""
    import yaml

    text = path.read_text(errors="replace")
    try:
        content = yaml.safe_load(text.splitlines()[0] if path.suffix == ".jsonl" else text)
    except (yaml.YAMLError, IndexError):
        content = None
    inner, key = {"": content}, ""
    while isinstance(inner[key], (dict, list)) and inner[key] and draw.random() < 0.8:
        inner = inner[key]
        key = draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
    value = draw.choice(SCALARS)
    whole = value if inner == {"": content} else content
    inner[key] = value
    path.write_text(json.dumps(whole) + "\n")


def _evil(path: Path, outside: Path, draw: random.Random) -> None:
    """Every text in it is hostile."""
    quoted = json.dumps(EVIL)
    path.write_text(re.sub(r'"[^"]*"(?!:)', lambda _: quoted, path.read_text(errors="replace")))


def _aliases(path: Path, outside: Path, draw: random.Random) -> None:
    levels = [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True)]
    path.write_text("\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *levels]))


def _deep(path: Path, outside: Path, draw: random.Random) -> None:
    path.write_text(draw.choice(("[", "{a: ", "- ", '{"a":')) * draw.choice((200, 5000, 200_000)))


def _huge(path: Path, outside: Path, draw: random.Random) -> None:
    with path.open("wb") as file:
        file.write(b"a: 1\n")
        file.truncate(70_000_000)


def _gone(path: Path, outside: Path, draw: random.Random) -> None:
    path.unlink()


def _folder(path: Path, outside: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path, outside: Path, draw: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path, outside: Path, draw: random.Random) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(path.parent):
        one.bind(path.name)


def _link(path: Path, outside: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(draw.choice((outside, Path("/dev/zero"), Path("/etc"), path.parent, path, Path("nowhere"))))


def _linked_folder(path: Path, outside: Path, draw: random.Random) -> None:
    shutil.rmtree(path.parent) if path.parent.name != "bad" else path.unlink()
    (path if path.parent.name == "bad" else path.parent).symlink_to(outside.parent)


def _forbidden(path: Path, outside: Path, draw: random.Random) -> None:
    draw.choice((path, path.parent)).chmod(0)


def _name(path: Path, outside: Path, draw: random.Random) -> None:
    path.rename(path.with_name(EVIL.replace("/", "") + path.suffix))


def _trailing(path: Path, outside: Path, draw: random.Random) -> None:
    with path.open("a") as file:
        file.write(draw.choice(('{"a": ', "\x00", "]", "\nNaN\n", "- x", EVIL)))


DAMAGES = {f.__name__[1:]: f for f in (
    _cut, _flip, _noise, _retype, _evil, _aliases, _deep, _huge, _gone, _folder, _pipe, _socket, _link, _linked_folder,
    _forbidden, _name, _trailing,
)}  # fmt: skip
