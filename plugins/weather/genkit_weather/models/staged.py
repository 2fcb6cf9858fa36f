"""Recipes that train in stages of growing rollouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genkit.errors import UsageError
from genkit_weather.data import WeatherData
from genkit_weather.lam import Domain, Windows, augment
from genkit_weather.models.recipe import WeatherRecipe
from genkit_weather.models.trained import WeatherModel

Loss = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class StagedRecipe(WeatherRecipe):
    """A forecaster of one network pass a step, trained in stages of growing rollouts."""

    stages: tuple[tuple[int, int], ...] = ((1, 900), (4, 300))
    """Stages of training: (steps of the rollout, training steps)."""
    later: float = 0.3
    """Learning rate over that of the stage before, in each stage whose rollouts are longer than those of the first."""

    def __post_init__(self) -> None:
        """Check the stages."""
        super().__post_init__()
        if not self.stages or any(len(s) != 2 or min(s) < 1 for s in self.stages):
            raise UsageError(f"stages={self.stages} must be pairs (steps of the rollout, training steps), all positive")

    def fit(self, run: Any, data: WeatherData, start: WeatherModel | None = None) -> WeatherModel:
        """Train stage by stage; a fine-tuning is one more stage like the last."""
        data = self.seen(data, start)
        if start is None:
            model, stages = self.untrained(run, data), list(enumerate(self.stages))
        else:
            last = len(self.stages) - 1
            model, stages = jax.tree.map(jnp.asarray, start.forecaster), [(last, (self.stages[-1][0], self.finetune))]
        weight = self.loss_weights(data)
        params = model.params
        for number, (leads, steps) in stages:
            longer = sum(rollout > self.stages[0][0] for rollout, _ in self.stages[: number + 1])
            optimizer: Any = self.optimizer.build(steps)
            if longer:
                optimizer = optax.chain(optimizer, optax.scale(self.later**longer))
            known = self.known(Windows(data.val, model.domain, leads, data.around, "val"))
            windows = Windows(data.train, model.domain, leads, data.around)
            name, loss = f"stage_{number + 1}", self.loss_of(model, number, weight, data.interior_weights)
            params = self.learn(
                run, name, self._augmented(model.domain, loss), params, windows, known, steps, optimizer
            )
        return self.trained(replace(model, params=params), data, start)

    def untrained(self, run: Any, data: WeatherData) -> Any:
        """The forecaster with its statistics and first parameters."""
        raise NotImplementedError(f"{type(self).__name__} needs a method untrained(run, data)")

    def loss_of(self, model: Any, stage: int, weight: Any, cells: Any) -> Loss:
        """The loss of a stage: ``(params, window, key, training) -> (loss, terms)``."""
        raise NotImplementedError(f"{type(self).__name__} needs a method loss_of(model, stage, weight, cells)")

    def _augmented(self, domain: Domain, loss: Loss) -> Loss:
        def of(params: Any, aux: Any, window: Any, key: Any, training: bool = True) -> Any:
            if training:
                window = replace(window, given=augment(key, domain, window.given, self.augmentation))
            value, terms = loss(params, window, key, training)
            return value, (aux, terms)

        return of
