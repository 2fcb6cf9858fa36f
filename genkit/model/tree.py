"""Trained models and recipes as plain text and named arrays, and back. Nothing of it is code.

A dataclass becomes a mapping with its class: `networks/weather.unet` where a plugin registers it, else the face that
exports it, `genkit.diffusion:EDMDenoiser`. A nested dict of arrays, as parameters are, becomes one line; its arrays are
named by their path. Python numbers stay numbers; tuples and lists become lists, which are read as tuples.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError, UsageError
from genkit.kinds import KINDS
from genkit.plugin import imported, registry

Arrays = dict[str, np.ndarray]


def encode(value: Any, arrays: Arrays, place: str = "") -> Any:
    """What YAML can hold of a value; its arrays are added to `arrays` by their place.

    Raises `GenkitError` for what a trained model may not hold: functions, keys, dates.
    """
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, jax.ShapeDtypeStruct):
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    if _is_array(value):
        arrays[place] = _on_host(value, place)
        return {"array": f"{arrays[place].dtype} {arrays[place].shape}"}
    if isinstance(value, Path):
        return {"path": str(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return {"class": class_name(type(value))} | {k: encode(v, arrays, _in(place, k)) for k, v in fields.items()}
    if isinstance(value, Mapping):
        if _is_tree(value):
            numbers = sum(_add_tree(value, arrays, place))
            return {"tree": f"{numbers:,} numbers"}
        return {"dict": {str(k): encode(v, arrays, _in(place, str(k))) for k, v in value.items()}}
    if isinstance(value, (tuple, list)):
        return [encode(v, arrays, _in(place, str(i))) for i, v in enumerate(value)]
    raise GenkitError(
        f"a trained model cannot hold {place or 'this'}, a {type(value).__name__}; keep arrays and options"
    )


def decode(plain: Any, arrays: Mapping[str, Any], place: str = "", trust: bool = False) -> Any:
    """Undo `encode`. A class that is neither of the core nor of an installed plugin needs `trust`.

    Raises `UsageError` for such a class, `GenkitError` for one that is gone or has other fields.
    """
    if isinstance(plain, list):
        return tuple(decode(v, arrays, _in(place, str(i)), trust) for i, v in enumerate(plain))
    if not isinstance(plain, dict):
        return plain
    match plain:
        case {"class": name, **fields}:
            return _make(name, {k: decode(v, arrays, _in(place, k), trust) for k, v in fields.items()}, place, trust)
        case {"array": _}:
            return arrays[place]
        case {"tree": _}:
            return _tree(arrays, place)
        case {"shape": shape, "dtype": dtype}:
            return jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype))
        case {"path": path}:
            return Path(path)
        case {"dict": entries}:
            return {k: decode(v, arrays, _in(place, k), trust) for k, v in entries.items()}
    raise GenkitError(f"{place}: {list(plain)} is nothing that a model of this genkit has; update genkit")


def class_name(cls: type) -> str:
    """``kind/plugin.item`` of a registered component, else ``module:Class`` by the highest package that exports it."""
    for kind in KINDS:
        name = registry().name_of(kind, cls)
        if ":" not in name:
            return f"{kind}/{name}"
    if "<locals>" in cls.__qualname__:
        raise GenkitError(f"{cls.__qualname__} lies within a function; a trained model needs classes of a module")
    parts = cls.__module__.split(".")
    packages = (".".join(parts[:i]) for i in range(1, len(parts)))
    faces = (name for name in packages if getattr(sys.modules.get(name), cls.__qualname__, None) is cls)
    return f"{next(faces, cls.__module__)}:{cls.__qualname__}"


def _make(name: str, fields: dict[str, Any], place: str, trust: bool) -> Any:
    cls = _class(name, trust)
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}
    if unknown := set(fields) - set(known):
        raise GenkitError(f"{place or 'the model'}: {name} has no {sorted(unknown)[0]!r} here; update genkit")
    missing = [n for n, f in known.items() if n not in fields and f.default is f.default_factory is dataclasses.MISSING]
    if missing:
        raise GenkitError(f"{place or 'the model'}: {name} needs {missing[0]!r}, which the file lacks; train it again")
    return cls(**fields)


def _class(name: str, trust: bool) -> Any:
    kind, slash, item = name.partition("/")
    if slash:
        if kind not in KINDS or ":" in item:  # own code has no kind
            raise GenkitError(f"{name} names no component; update genkit")
        return registry().load(kind, item)
    own = name.partition(":")[0].partition(".")[0] not in registry().packages
    if own and not trust:
        raise UsageError(f"it names own code ({name}); give --trust if you trust it")
    try:
        cls = imported(name, own)
    except (ImportError, AttributeError, ValueError) as error:
        raise GenkitError(f"{name} cannot be loaded ({error}); install what the model was trained with") from None
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UsageError(f"{name} is no dataclass, so no part of a model")
    return cls


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, jax.Array))


def _on_host(value: Any, place: str) -> np.ndarray:
    """The whole array in this process, in C order."""
    if isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            raise GenkitError(f"a trained model cannot hold {place}, a random key; keep the seed")
        if not value.is_fully_addressable:
            from jax.experimental.multihost_utils import process_allgather

            value = process_allgather(value, tiled=True)
    array = np.ascontiguousarray(value).reshape(np.shape(value))  # ascontiguousarray makes () to (1,)
    if array.dtype.kind not in "biuf" and array.dtype != jnp.bfloat16:
        raise GenkitError(f"a trained model cannot hold {place}, an array of {array.dtype}; keep real numbers")
    return array


def _is_tree(value: Mapping[Any, Any]) -> bool:
    """Whether it is a nested dict with arrays alone; keys of digits are read as integers."""
    for key, one in value.items():
        fits = isinstance(key, int) or (isinstance(key, str) and not key.isdigit() and "." not in key)
        if not fits or not (_is_array(one) or (isinstance(one, Mapping) and one and _is_tree(one))):
            return False
    return bool(value)


def _add_tree(value: Mapping[Any, Any], arrays: Arrays, place: str) -> list[int]:
    sizes = []
    for key, one in value.items():
        where = _in(place, str(key))
        if isinstance(one, Mapping):
            sizes += _add_tree(one, arrays, where)
        else:
            arrays[where] = _on_host(one, where)
            sizes.append(math.prod(arrays[where].shape))
    return sizes


def _tree(arrays: Mapping[str, Any], place: str) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for name, array in arrays.items():
        if name.startswith(place + "."):
            *path, last = (int(p) if p.isdigit() else p for p in name.removeprefix(place + ".").split("."))
            node = out
            for key in path:
                node = node.setdefault(key, {})
            node[last] = array
    return out


def _in(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
