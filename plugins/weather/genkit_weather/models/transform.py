"""Amounts that are mostly nothing and sometimes much, such as precipitation, seen on a logarithmic scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genkit.errors import DataError, UsageError
from genkit.tree import register_dataclass
from genkit_weather.data import WeatherData
from genkit_weather.lazy import Lazy

NEGATIVE = 1e-3  # packed numbers go a little below 0: in units of the scale


@register_dataclass
@dataclass(frozen=True, eq=False)
class Transform:
    """z = log(1 + x / c) for some variables (GraphCast and NeuralGCM do the same for precipitation), z = x for others.

    Of x = c (exp(z) - 1) what lies below 0 is 0, so that a forecast of such a variable is never negative.
    """

    scale: Any
    """(V,) c in the units of each variable, infinite where z = x"""

    @classmethod
    def of(cls, data: WeatherData, log: dict[str, float]) -> Transform | None:
        """That of variables by name; None where there are none.

        Raises:
            UsageError: a name that is none, or a scale that is not positive.
        """
        if not log:
            return None
        if unknown := set(log) - set(data.names):
            raise UsageError(f"log names {sorted(unknown)[0]}, but {data.source} has {', '.join(data.names)}")
        return cls(np.array([log.get(name, np.inf) for name in data.names], np.float32))

    def forward(self, x: Any) -> np.ndarray:
        """z of states x (..., V)."""
        scale, x = np.asarray(self.scale), np.asarray(x, np.float32)
        return np.where(np.isinf(scale), x, np.log1p(np.maximum(x / scale, 0)))

    def inverse(self, z: Any) -> np.ndarray:
        """x of values z (..., V)."""
        scale, z = np.asarray(self.scale), np.asarray(z, np.float32)
        chosen = np.isfinite(scale)
        return np.where(chosen, np.where(chosen, scale, 1) * np.expm1(np.where(chosen, np.maximum(z, 0), 0)), z)

    def seen(self, data: WeatherData) -> WeatherData:
        """The data with z in place of x, in states, boundary and analyses; stored statistics are those of x and go.

        Raises:
            DataError: a variable that is negative, when it is read.
        """

        def array(values: Any) -> Any:
            if values is None:
                return None
            key = getattr(values, "key", "")
            key = key and f"{key} log {np.asarray(self.scale).tolist()}"
            return Lazy(values.shape, lambda rows: self._checked(values[rows], data), key)

        def series(one: Any) -> Any:
            changed = {name: array(getattr(one, name)) for name in ("state", "lateral", "analysis")}
            host = one.host
            told = None if host is None else lambda starts, leads: self._checked(host(starts, leads), data)
            return replace(one, **changed, host=told)

        return replace(data, **{k: tuple(map(series, v)) for k, v in data.splits().items()}, stored=None)

    def _checked(self, x: Any, data: WeatherData) -> np.ndarray:
        low = np.nanmin(np.asarray(x), axis=tuple(range(np.ndim(x) - 1)), initial=np.inf)
        for name, least, scale in zip(data.names, low, np.asarray(self.scale), strict=True):
            if np.isfinite(scale) and least < -NEGATIVE * scale:
                raise DataError(f"{data.source}: {name} falls to {least:.4g}, and log is for amounts that do not")
        return self.forward(x)
