"""Checkpoints: a pytree of arrays and a page of JSON, written complete or not at all (orbax).

Beside a checkpoint ``<step>`` lies ``<step>.json`` with the SHA-256 of each of its files.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from genkit.errors import GenkitError
from genkit.files import read_json, write_json
from genkit.parallel import barrier, broadcast_int, is_main, path_name

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax notes every file it touches


def save(folder: str | Path, step: int, state: Any, meta: dict[str, Any], keep: int = 1) -> Path:
    """Write ``folder/<step>``, then remove older ones but for the newest `keep`; all processes call it.

    A step that is there already is kept. Until the new one is complete, the old one stays; a disk that is
    full or read-only raises `GenkitError` and leaves it untouched.
    """
    folder = Path(folder).absolute()
    path = folder / str(step)
    if path.exists():
        return path
    meta = {**meta, "step": step, "leaves": _leaves(state)}
    try:
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
            _clear(folder, keep=steps(folder))
            _check_room(folder, state)
        barrier(f"save {path}")
        with _checkpointer() as writer:
            args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
            writer.save(path, args=args)
    except GenkitError:
        raise
    except Exception as error:  # the storage layer reports a full disk in several types
        kept = latest(folder)
        safe = "no earlier checkpoint exists" if kept is None else f"the one of step {kept} is intact"
        raise GenkitError(
            f"cannot write checkpoint {path}: {_reason(error)}; {safe}; make room or choose another folder, then resume"
        ) from error
    if is_main():
        write_json(_sums(path), _digests(path))
        _clear(folder, keep=sorted(steps(folder))[-keep:])
    return path


def latest(folder: str | Path) -> int | None:
    """The step of the newest complete checkpoint in a folder; None when there is none."""
    return max(steps(Path(folder)), default=None)


def usable(folder: Path) -> tuple[int | None, str]:
    """The step of the newest checkpoint that is not damaged, and what is wrong with newer ones, which are set aside.

    The step is None where there is no checkpoint. All processes call it. Raises `GenkitError` where all are damaged.
    """
    there, reasons = sorted(steps(folder), reverse=True), []
    if not there:
        return None, ""
    good = -1
    if is_main():
        for step in there:
            if (reason := damage(folder, step)) is None:
                good = step
                break
            reasons.append(reason)
    if (good := broadcast_int(good)) < 0:
        raise GenkitError(f"{'; '.join(reasons)}; no other is there: delete {folder} to train from the start")
    if is_main():
        for step in there[: len(reasons)]:
            aside = folder / f"{step}.damaged"
            shutil.rmtree(aside, ignore_errors=True)
            (folder / str(step)).rename(aside)
    barrier(f"usable {folder}")
    return good, "; ".join(reasons)


def damage(folder: Path, step: int) -> str | None:
    """What is wrong with the files of a checkpoint; None if nothing is, or if nobody noted what they should be."""
    path, sums = folder / str(step), noted(folder, step)
    found = _digests(path) if sums else {}
    wrong = [name for name in sums if found.get(name) != sums[name]]
    return f"checkpoint {path} is damaged ({wrong[0]} differs from what was written)" if wrong else None


def noted(folder: Path, step: int) -> dict[str, str]:
    """The checksums of a checkpoint's files; empty where none were noted, as by a kill just before."""
    return read_json(_sums(folder / str(step)), {}, "delete it, and the checkpoint is taken as it is")


def _sums(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _digests(path: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder."""
    out = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as content:
            out[str(file.relative_to(path))] = hashlib.file_digest(content, "sha256").hexdigest()
    return out


def metadata(folder: str | Path) -> dict[str, Any]:
    """The JSON of the newest checkpoint in a folder."""
    path = _newest(folder)
    try:
        with _checkpointer() as reader:
            return reader.restore(path, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
    except Exception as error:  # the storage layer reports damage in several types
        raise _unreadable(path, _reason(error)) from error


def check(folder: str | Path, config: dict[str, Any] | None) -> dict[str, Any]:
    """The JSON of the newest checkpoint, its configuration compared with `config` (where both exist)."""
    meta = metadata(folder)
    if config is not None and meta.get("config") is not None:
        _compare(_newest(folder), "was written with another configuration", meta["config"], plain(config))
    return meta


def restore(folder: str | Path, like: Any, config: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
    """The newest checkpoint in a folder: (state, JSON).

    `like` is a pytree of arrays or `jax.ShapeDtypeStruct`; its shardings say on which devices of which mesh
    the arrays are placed, whatever they were saved from (without them, on the first device). Raises
    `GenkitError` naming the first field of `config`, or the first array, that differs from what was saved.
    """
    path = _newest(folder)
    if (reason := damage(path.parent, int(path.name))) is not None:
        raise GenkitError(f"{reason}; take it from a copy, or delete it")
    meta = check(folder, config)
    _compare(path, "does not fit", meta["leaves"], _leaves(like))
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    placed = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None) or first), like
    )
    try:
        with _checkpointer() as reader:
            state = reader.restore(path, args=ocp.args.Composite(state=ocp.args.StandardRestore(placed)))["state"]
    except Exception as error:
        raise _unreadable(path, _reason(error)) from error
    return state, meta


def plain(value: Any) -> Any:
    """A value as JSON would return it: tuples become lists, other objects text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _checkpointer() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _unreadable(path: Path, reason: str) -> GenkitError:
    return GenkitError(f"cannot read checkpoint {path}: {reason}; if it is damaged, delete it")


def steps(folder: Path) -> list[int]:
    """Complete checkpoints only: unfinished ones bear a suffix until they are renamed."""
    return [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []


def _newest(folder: str | Path) -> Path:
    step = latest(folder)
    if step is None:
        raise GenkitError(f"there is no checkpoint in {folder}; train first, or check the path")
    return Path(folder).absolute() / str(step)


def clear(folder: Path) -> None:
    """Remove the checkpoints in a folder."""
    shutil.rmtree(folder, ignore_errors=True)


def _clear(folder: Path, keep: list[int]) -> None:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in map(str, keep):
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".json" and path.stem not in map(str, keep):
            path.unlink(missing_ok=True)


def _leaves(tree: Any) -> dict[str, str]:
    """Path -> "float32 (3, 4)"."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {path_name(path): f"{leaf.dtype} {tuple(leaf.shape)}" for path, leaf in flat}


def _check_room(folder: Path, state: Any) -> None:
    need = sum(leaf.size * getattr(leaf.dtype, "itemsize", 8) for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OSError(f"no space left on device: {need / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")


def _reason(error: Exception) -> str:
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip().splitlines()[0]
    return text if len(text) < 200 else text[:200] + "..."


def _compare(path: Path, what: str, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in [*wanted, *saved]:
        if saved.get(name, "absent") != wanted.get(name, "absent"):
            raise GenkitError(
                f"checkpoint {path} {what}: {name} is {saved.get(name, 'absent')} there, "
                f"{wanted.get(name, 'absent')} is asked for; repeat its configuration or use another folder"
            )
