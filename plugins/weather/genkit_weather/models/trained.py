"""A trained weather model: what advances states, the area that it knows, and its sampler where it draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.model import Trained
from genkit.tree import register_dataclass
from genkit_weather.area import join
from genkit_weather.data import Series, WeatherData
from genkit_weather.lam import Outlook, Sampled, Stepper, Times, rollout
from genkit_weather.models.area import Area, Surroundings
from genkit_weather.models.transform import Transform


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class WeatherModel(Trained):
    """Forecasts from two states, a boundary and a forcing, with the statistics and fixed fields of its training."""

    instead: ClassVar[str] = "a forecast needs states to start from; use `genkit weather-forecast`"

    area: Area
    forecaster: Any
    """a pytree with `domain`: a `Forecaster`, or a stepper such as `GraphForecaster`"""
    sampler: Any = field(default=None, metadata={"static": True})
    """what draws from a `Forecaster`"""
    surroundings: Surroundings | None = None
    """of a model whose boundary is a second data set"""
    transform: Transform | None = None
    """of variables that the network sees on another scale"""

    @property
    def stepper(self) -> Stepper:
        """What makes one step."""
        return self.forecaster if self.sampler is None else Sampled.by(self.sampler, self.forecaster)

    @property
    def domain(self) -> Any:
        """Statistics and fixed fields."""
        return self.forecaster.domain

    @property
    def times(self) -> Times:
        """Which states a forecast starts from, and which leads a block of it has."""
        return self.domain.times

    def check(self, data: WeatherData) -> None:
        """Refuse data of other variables, units, grid, step or boundary, in one line."""
        name = "the model" if self.origin is None else f"the model {self.origin.folder}"
        self.area.check(Area.of(data), name, data.source)
        if (self.surroundings is None) != (data.around is None):
            needs, has = ("one", "none") if data.around is None else ("none", "one")
            raise UsageError(
                f"{name} was trained with {needs} second data set around its area, {data.source} has {has}"
            )
        if self.surroundings is not None and data.around is not None:
            if data.around.window != self.surroundings.window:
                raise UsageError(f"{name} was trained with {self.surroundings.window}, not {data.around.window}")
            self.surroundings.area.check(Area.of(data.around.data), name, data.around.data.source)

    def seen(self, data: WeatherData) -> WeatherData:
        """Data as the model sees them: variables on its scale, a second data set at the points of the training."""
        data = data if self.transform is None else self.transform.seen(data)
        return data if self.surroundings is None else self.surroundings.around(data, data.around.data)

    def outlook(self, data: WeatherData, series: Series, starts: Sequence[int], leads: int) -> Outlook:
        """What forecasts from starts of a test series are given; `leads` counts steps of the data."""
        number = next((i for i, one in enumerate(data.test) if one is series), None)
        if number is None:
            raise UsageError(
                "a forecast begins in a series of the test split; put this one there (replace(data, test=...))"
            )
        outside, data = None, self.seen(data)
        if data.around is not None:
            outside = data.around.windows("test", number, np.asarray(starts), leads)
        return Outlook.build(self.domain, data.test[number], starts, leads, outside, self.times)

    def forecast(
        self,
        key: jax.Array,
        outlook: Outlook,
        members: int,
        chunk: int | None = None,
        lead_chunk: int | None = None,
        first: int = 0,
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Yield (outputs, states (start, lead, member, H, W, V)), some leads at a time: physical units, with frame.

        NaN where a variable has no values (`WeatherData.mask`).

        Outputs are numbers from 1 on of the leads that the model predicts. Members do not depend on the other starts,
        on their number or on what bounds the memory: `chunk`, the member-states advanced at once, and `lead_chunk`,
        the leads of a block. `first` is the number of the first member.
        """
        from genkit.parallel import mesh_for
        from genkit.programs import watched

        model, times = self.stepper, outlook.times
        when = times.lag + np.array(times.outputs(outlook.leads))
        blocks = max(1, outlook.leads // times.block // 8)
        devices, particles = jax.device_count(), len(outlook.time) * members
        mesh = None
        if devices > 1 and not watched():
            mesh = mesh_for(min(chunk or particles, particles, devices))
        mask = None if model.domain.mask is None else np.asarray(model.domain.mask)
        frames = np.asarray(outlook.frame) * np.asarray(model.domain.std) + np.asarray(model.domain.mean)
        bounds: Any = {"chunk": chunk, "lead_chunk": lead_chunk, "blocks": blocks, "mesh": mesh}
        pieces = rollout(key, model, outlook, members, first=first, **bounds)
        for some, states in pieces:
            cells = frames[:, when[some.start - 1 : some.stop - 1], None]
            cells = np.broadcast_to(cells, (*cells.shape[:2], members, *cells.shape[3:]))
            whole = np.asarray(join(cells, states, self.area.frame))
            whole = whole if self.transform is None else self.transform.inverse(whole)
            yield some, whole if mask is None else np.where(mask, whole, np.float32("nan"))
