"""The folder of a trained model: ``model.yaml``, a page of text, and ``weights.safetensors``. Nothing of it is code.

The page says what the arrays are (classes, options by full names, sizes), how they came to be, the checksum of the
weights, and its own checksum in the last line: a flipped byte in either is an error that names the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
import yaml

from genkit.errors import GenkitError, UsageError
from genkit.files import check_plain, damaged, dump_yaml, parse_yaml, read_text, read_yaml
from genkit.model.tree import Arrays, class_name, decode, encode
from genkit.parallel import barrier, is_main

FORMAT = 1
PAGE, WEIGHTS = "model.yaml", "weights.safetensors"
HEAD = "# A trained model of genkit: genkit.load_model(FOLDER) and every command that takes a MODEL read it.\n"
CHECKSUM = "checksum: "
PAGE_LIMIT = 8_000_000  # bytes
TYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "u2", "I16": "i2", "U32": "u4", "I32": "i4", "U64": "u8",
         "I64": "i8", "F16": "f2", "F32": "f4", "F64": "f8"}  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Where a trained model comes from."""

    recipe: Any
    """that it was trained by, None for imported weights"""
    fingerprint: str
    """of its weights and of what explains them"""
    folder: Path
    about: dict[str, Any]
    """how it came to be"""

    @property
    def name(self) -> str:
        """Registered name of the recipe, as weather.diffusion."""
        return "imported" if self.recipe is None else class_name(type(self.recipe)).removeprefix("models/")


@dataclass(frozen=True)
class Page:
    """What ``model.yaml`` tells."""

    recipe: Any
    """the recipe, None for imported weights"""
    trained: dict[str, Any]
    """the trained model as text; see `genkit.model.tree`"""
    weights: str
    """SHA-256 of ``weights.safetensors``"""
    fingerprint: str
    about: dict[str, Any]
    """how it came to be"""


def save(trained: Any, folder: str | Path, recipe: Any = None, **about: Any) -> Any:
    """Write a trained model as a whole folder, complete or not at all; returns it with its origin noted.

    All processes call it.

    Args:
        trained: a `genkit.model.Trained`.
        folder: made; a model that is there is replaced.
        recipe: what it was trained by; that of its origin by default.
        about: provenance, as experiment, seed, data, versions; that of its origin by default.

    Raises:
        GenkitError: something that a trained model cannot hold, or a disk that refuses.
    """
    folder, origin = Path(folder).absolute(), trained.origin
    if origin is not None:
        recipe, about = recipe or origin.recipe, about or origin.about
    if strange := sorted(p.name for p in folder.glob("*") if p.name not in (PAGE, WEIGHTS)):
        raise UsageError(f"{folder} is no folder of a model ({strange[0]}); give a new one")
    arrays: Arrays = {}
    text = encode(trained, arrays)
    recipe = _from_nothing(recipe)
    written = encode(recipe, unexpected := {})
    if unexpected:
        raise GenkitError(f"the recipe {type(recipe).__name__} holds the array {next(iter(unexpected))}; keep options")
    weights = safetensors.numpy.save(arrays)
    digest = hashlib.sha256(weights).hexdigest()
    fingerprint = _fingerprint(text, digest)
    page = {
        "format": FORMAT,
        "recipe": written,
        "about": about | {"arrays": len(arrays), "numbers": int(sum(a.size for a in arrays.values()))},
        "fingerprint": fingerprint,
        "weights": digest,
        "trained": text,
    }
    try:
        if is_main():
            _write(folder, {WEIGHTS: weights, PAGE: _signed(page)})
    finally:
        barrier(f"save model {folder}")  # the other processes wait here
    return with_origin(trained, Origin(recipe, fingerprint, folder, page["about"]))


def load(path: str | Path, trust: bool = False) -> Any:
    """Read a trained model from its folder or its run's; needs neither the experiment nor the data.

    Raises `UsageError` for a path without one, and for own classes without `trust`; `GenkitError` for damage.
    """
    folder = find(path)
    page = read(folder, trust)
    file = folder / WEIGHTS
    try:
        content = file.read_bytes()
    except OSError as error:
        raise GenkitError(f"cannot read {file}: {error.strerror}; copy the whole folder of the model") from None
    if hashlib.sha256(content).hexdigest() != page.weights:
        raise GenkitError(f"{file} is damaged: its checksum differs from that in {PAGE}; take it from a copy")
    arrays = {name: _array(one) for name, one in safetensors.deserialize(content)}
    try:
        trained = decode(page.trained, arrays, trust=trust)
    except GenkitError as error:
        raise type(error)(f"{folder / PAGE}: {error}") from None
    if not hasattr(trained, "origin"):
        raise GenkitError(f"{folder / PAGE} holds a {type(trained).__name__}, which is no trained model")
    return with_origin(trained, Origin(page.recipe, page.fingerprint, folder, page.about))


def read(folder: Path, trust: bool = False) -> Page:
    """The page of a trained model, checked."""
    file = folder / PAGE
    try:
        body, found, checksum = read_text(file, PAGE_LIMIT).rpartition(CHECKSUM)
    except FileNotFoundError:
        raise GenkitError(f"{file} does not exist; copy the whole folder of the model") from None
    if not found or hashlib.sha256(body.encode()).hexdigest() != checksum.strip():
        raise GenkitError(f"{file} is damaged or was changed by hand: its checksum is wrong; take it from a copy")
    content = parse_yaml(body, file)
    keys = ("format", "recipe", "trained", "weights", "fingerprint", "about")
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise damaged(file, f"has not the keys {', '.join(keys)}")
    if content["format"] != FORMAT:
        raise GenkitError(f"{file} has format {content['format']}, this genkit reads {FORMAT}; update genkit")
    try:
        recipe = decode(content["recipe"], {}, trust=trust)
    except GenkitError as error:
        raise type(error)(f"{file}: {error}") from None
    return Page(recipe, content["trained"], content["weights"], content["fingerprint"], content["about"])


def find(path: str | Path) -> Path:
    """The folder of the model that a path stands for, its own or that of its run."""
    if (found := located(path)) is not None:
        check_plain(found)
        return found
    path = Path(path).expanduser()
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; expected that of a run or of a model")
    if not (path / "config.yaml").is_file():
        raise UsageError(f"{path} is no folder of a run or of a model: it has neither config.yaml nor {PAGE}")
    raise UsageError(f"{path} has no trained model: {_why_none(path)}")


def located(path: str | Path) -> Path | None:
    """The folder of the model that a path stands for, None where there is none."""
    path = Path(path).expanduser()
    return next((folder for folder in (path, path / "model") if has_model(folder)), None)


def has_model(folder: Path) -> bool:
    """Whether a trained model is there."""
    return (folder / PAGE).is_file()


def with_origin(trained: Any, origin: Origin) -> Any:
    """The trained model with its origin noted."""
    noted = dataclasses.replace(trained)
    object.__setattr__(noted, "origin", origin)
    return noted


def _from_nothing(recipe: Any) -> Any:
    """A recipe, and those in it, that trains from nothing: how it is kept."""
    if not hasattr(recipe, "restore"):
        return recipe
    parts = {f.name: _from_nothing(getattr(recipe, f.name)) for f in dataclasses.fields(recipe)}
    return dataclasses.replace(recipe, **parts | {"restore": None, "finetune": 0, "fingerprint": None})


def _why_none(run: Path) -> str:
    page, again = read_yaml(run / "config.yaml"), f"`genkit run {run / 'config.yaml'} --out"
    if not (isinstance(page, dict) and "format" in page):
        return f"it was made by genkit 0.1.0, without a model's folder; {again} NEW` trains it again"
    return f"it was not trained to its end, or trains none; {again} {run} --resume` goes on, {again} NEW` trains anew"


def _write(folder: Path, files: dict[str, bytes]) -> None:
    part, old = (folder.with_name(f".{folder.name}.{os.getpid()}{end}") for end in ("", ".old"))
    try:
        part.mkdir(parents=True)
        for name, content in files.items():
            (part / name).write_bytes(content)
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            if old.exists():
                os.replace(old, folder)
        shutil.rmtree(part, ignore_errors=True)
        raise GenkitError(f"cannot write {folder}: {error.strerror}; make room or choose another folder") from error


def _signed(page: dict[str, Any]) -> bytes:
    body = HEAD + dump_yaml(page, allow_unicode=True)
    return f"{body}{CHECKSUM}{hashlib.sha256(body.encode()).hexdigest()}\n".encode()


def _fingerprint(text: Any, weights: str) -> str:
    return hashlib.sha256((yaml.safe_dump(text) + weights).encode()).hexdigest()[:16]


def _array(stored: dict[str, Any]) -> np.ndarray:
    kind = np.dtype(ml_dtypes.bfloat16 if stored["dtype"] == "BF16" else TYPES[stored["dtype"]])
    return np.frombuffer(bytearray(stored["data"]), kind).reshape(stored["shape"])
