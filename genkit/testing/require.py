"""What the checks share: one-line failures, components with other numbers in them, a denoiser that counts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import Wrapped
from genkit.tree import register_dataclass


def require(holds: Any, message: str) -> None:
    """Raise AssertionError with this line where something does not hold; works under ``python -O`` too."""
    if not holds:
        raise AssertionError(message)


@contextlib.contextmanager
def claim(what: str) -> Iterator[None]:
    """Whatever is raised inside becomes an AssertionError of one line that begins with `what`."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from error
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise AssertionError(f"{what}: {type(error).__name__}: {reason}") from error


def varied(component: Any) -> Any:
    """The same component or pytree with every float in it smaller by a tenth, leaf or not.

    Fields marked static are left alone where they hold a dataclass (a process, say), which is a choice and no number.
    """
    if dataclasses.is_dataclass(component) and not isinstance(component, type):
        changed = {}
        for f in dataclasses.fields(component):
            value = getattr(component, f.name)
            chosen = f.metadata.get("static") and dataclasses.is_dataclass(value)
            if f.init and not chosen:
                changed[f.name] = varied(value)
        return dataclasses.replace(component, **changed)
    if isinstance(component, float):
        return 0.9 * component
    if isinstance(component, (jax.Array, np.ndarray)) and jnp.issubdtype(component.dtype, jnp.floating):
        return (component * 0.9).astype(component.dtype)
    if jax.tree_util.all_leaves([component]):
        return component
    return jax.tree.map(varied, component, is_leaf=lambda a: a is not component)


def near(a: Any, b: Any, tolerance: float = 1e-5) -> bool:
    """Whether two pytrees of arrays agree to a tolerance relative to the largest entry of each leaf."""
    pairs = list(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    return all(_near(_plain(x), _plain(y), tolerance) for x, y in pairs)


def part(tree: Any, which: slice) -> Any:
    """A slice of the first axis of all leaves."""
    return jax.tree.map(lambda a: a[which], tree)


class Count:
    """How often a function was traced, and at which levels its compiled form was called."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.traces = 0
        self.levels: list[float] = []


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Counted(Wrapped):
    """A denoiser that counts its traces and calls."""

    denoiser: Any
    count: Count = dataclasses.field(metadata={"static": True})

    def __call__(self, x: jax.Array, t: jax.Array, cond: Any = None) -> jax.Array:
        """The denoiser's answer."""
        self.count.traces += 1
        jax.debug.callback(lambda t: self.count.levels.append(float(np.min(t))), t)
        return self.denoiser(x, t, cond)


def _plain(a: Any) -> np.ndarray:
    typed_key = isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(a) if typed_key else a, np.float64)


def _near(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    finite = np.abs(b[np.isfinite(b)])
    scale = float(finite.max()) if finite.size else 0.0
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=tolerance * scale, equal_nan=True)
