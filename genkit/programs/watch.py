"""Programs noted as they are called, traced but neither compiled nor run."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun, jaxprs_in_params, set_current_trace, take_current_trace

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Program:
    """A function under `jax.jit` as it was called."""

    name: str
    jaxpr: ClosedJaxpr
    donated: tuple[int, ...] = ()
    """Places of arguments whose memory the results take."""
    x64: bool = False
    """Whether it was called with 64-bit numbers allowed."""

    def lower(self, *platforms: str) -> Any:
        """Lowered for one or several of "cpu", "cuda" and "tpu", whatever this machine has: `jax.stages.Lowered`.

        Without a platform, for that of this machine. Raises what jax raises for an operation that one of them lacks.
        """
        arguments = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in self.jaxpr.in_avals]
        jitted = jax.jit(jaxpr_as_fun(self.jaxpr), donate_argnums=self.donated)
        with jax.enable_x64(self.x64):
            return jitted.trace(*arguments).lower(lowering_platforms=platforms or None)

    def primitives(self) -> set[str]:
        """Names of all operations of jax in it."""
        return {one.primitive.name for one in _equations(self.jaxpr.jaxpr, set())}

    def custom_calls(self, *platforms: str) -> set[str]:
        """Names of the library functions and host callbacks that it calls on these platforms."""
        return set(re.findall(r"custom_call @([\w.$]+)", self.lower(*platforms).as_text()))


@dataclass(frozen=True)
class Training:
    """A phase of training that was seen: its step, and the shapes that it trains."""

    phase: Any
    """A `genkit.train.Phase`."""
    step: Program
    parameters: int
    lower: Callable[[], Any]
    """The step as it is compiled for training, on all devices: `jax.stages.Lowered`."""


@dataclass
class Watch:
    """What `watch` saw, in order; a program that is called twice is there twice."""

    folder: Path
    """For files that are made while watching; gone afterwards."""
    calls: list[Program] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)

    @property
    def programs(self) -> list[Program]:
        """Each program once."""
        return list({id(one.jaxpr): one for one in self.calls}.values())


_current: ContextVar[Watch | None] = ContextVar("watch", default=None)


def watched() -> Watch | None:
    """The watch of this thread, if there is one: then what programs return is made up, and must not be kept."""
    return _current.get()


@contextmanager
def watch() -> Iterator[Watch]:
    """Note every jitted function that this thread calls outside others; what it returns is made up.

    Such a function is traced, which takes a moment, and answered by arrays of the right shapes: numbers between 0.5
    and 1.5, whole ones 1, booleans False (nothing has failed, nothing is done). So a whole experiment can be gone
    through in seconds. What runs outside `jit`, operation by operation, is computed.
    """
    with tempfile.TemporaryDirectory(prefix="genkit-") as folder, _under(Watch(Path(folder))) as seen:
        yield seen


def inherit(f: F) -> F:
    """The function for another thread, watched as the one is that calls `inherit`."""
    seen = watched()
    if seen is None:
        return f

    @wraps(f)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with _under(seen):
            return f(*args, **kwargs)

    return inside  # type: ignore[return-value]


@contextmanager
def _under(seen: Watch) -> Iterator[Watch]:
    with take_current_trace() as usual:
        pass

    class Note(type(usual)):
        """Evaluation as usual, jit apart."""

        def process_primitive(self, primitive: Any, args: Any, params: Any, /) -> Any:
            with set_current_trace(usual):
                if primitive.name not in ("jit", "pjit"):
                    return usual.process_primitive(primitive, args, params)
                donated = tuple(i for i, given in enumerate(params["donated_invars"]) if given)
                seen.calls.append(
                    Program(
                        params["name"], params["jaxpr"], donated, jax.dtypes.canonicalize_dtype("float64") == np.float64
                    )
                )
                return [_made_up(a.shape, a.dtype) for a in params["jaxpr"].out_avals]

    token = _current.set(seen)
    try:
        with set_current_trace(Note()):
            yield seen
    finally:
        _current.reset(token)


def _equations(jaxpr: Jaxpr, seen: set[int]) -> Iterator[Any]:
    for one in jaxpr.eqns:
        yield one
        for inner in jaxprs_in_params(one.params):
            if id(inner) not in seen:
                seen.add(id(inner))
                yield from _equations(inner, seen)


def _made_up(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    if jax.numpy.issubdtype(dtype, jax.dtypes.prng_key):
        return jax.numpy.zeros(shape, dtype)
    if jax.numpy.issubdtype(dtype, jax.numpy.inexact):
        # the golden ratio: no axis is constant, so that standard deviations are above zero
        value = 0.5 + (0.6180339887 * np.arange(np.prod(shape, dtype=int))) % 1
        return jax.numpy.asarray(value.reshape(shape), dtype)
    return jax.numpy.asarray((np.zeros if dtype == np.bool else np.ones)(shape, dtype))
