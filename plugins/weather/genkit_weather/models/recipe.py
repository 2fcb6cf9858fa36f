"""What all weather recipes share: what is predicted, the weights of the loss, how it is learned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Optimizer
from genkit.model import Recipe
from genkit.nn import Net, shapes_of
from genkit.train import AdamW, learn
from genkit_weather.data import Layout, WeatherData
from genkit_weather.graphs import Graph, check_grid, load, normalised
from genkit_weather.lam import STEP, Augmentation, Formulation, Times
from genkit_weather.models.area import Area, Surroundings
from genkit_weather.models.trained import WeatherModel
from genkit_weather.models.transform import Transform
from genkit_weather.networks import Sizes

VALIDATION = 64  # examples of the validation split that are looked at, spread evenly over it
MEPS_WEIGHTS = {  # of the published models: by the level of a variable
    "t_2": 1.0, "r_2": 1.0, "t_65": 0.065, "r_65": 0.065, "u_65": 0.065, "v_65": 0.065, "t_850": 0.05, "u_850": 0.05,
    "v_850": 0.05, "t_500": 0.03, "z_500": 0.03, "z_1000": 0.1, "pres_0g": 0.1, "pres_0s": 0.1, "nlwrs_0": 0.1,
    "nswrs_0": 0.1, "wvint_0": 0.1,
}  # fmt: skip


def graph_of(network: Any, data: WeatherData) -> Graph | None:
    """The graph of a denoising network that names a file; the trained model keeps it in its domain."""
    return None if getattr(network, "graph", None) is None else network.over(data)


def net_of(network: Any, sizes: Sizes, graph: Graph | None) -> Net:
    """A denoising network for a graph of `graph_of`, or its shapes."""
    if graph is None:
        return Net(network, (sizes,))
    return Net(replace(network, graph=None), (sizes, shapes_of(graph)))  # the file may go


def planned_graph(network: Any, layout: Layout) -> Graph | None:
    """The shapes of the graph of a denoising network that names a file, without data; of a grid of this size."""
    if (file := getattr(network, "graph", None)) is None:
        return None
    (h, w), (fy, fx) = layout.grid, layout.frame
    inside = (h - 2 * fy) * (w - 2 * fx)
    return shapes_of(normalised(check_grid(load(file), inside, h * w - inside, "", "the data set")))


@dataclass(frozen=True, kw_only=True)
class LearningRecipe(Recipe):
    """How networks of this plugin are learned from examples of the training split."""

    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3, weight_decay=0.01))
    """The optimiser."""
    batch: int = 8
    """Examples in a step."""
    accumulate: int = 1
    """Parts into which a batch is cut to save memory."""
    clip: float | None = 1.0
    """Largest norm of the gradient."""
    ema: float | None = 138.0
    """Half-life of the averaged parameters in steps."""
    validate: int = 250
    """Steps between validations."""
    checkpoint: Literal["last", "best"] = "last"
    """Whose parameters forecast: of the last step, or of the lowest validation loss."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for name in ("batch", "accumulate", "validate"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.batch % self.accumulate:
            raise UsageError(f"batch={self.batch} cannot be cut into accumulate={self.accumulate} equal parts")

    def known(self, examples: Any) -> list[Any]:
        """Batches of the validation split, the same at all times."""
        count = VALIDATION // self.batch * self.batch or self.batch
        rows = np.linspace(0, len(examples) - 1, count).round().astype(int)
        return [examples.take(part) for part in rows.reshape(-1, self.batch)]

    def learn(
        self, run: Any, name: str, loss: Any, params: Any, examples: Any, known: Any, steps: int, optimizer: Any,
        aux: Any = None,
    ) -> Any:  # fmt: skip
        """Train parameters; see `genkit.train.learn`."""
        return learn(
            run, name, loss, params, examples, known, optimizer=optimizer, steps=steps, aux=aux, batch=self.batch,
            ema=self.ema, accumulate=self.accumulate, clip=self.clip, validate=self.validate, keep=self.checkpoint,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WeatherRecipe(LearningRecipe):
    """A network that makes one step at a time."""

    on_nodes: ClassVar[bool] = False  # whether it sees a second data set as nodes, else in its frame

    formulation: Formulation = field(default_factory=Formulation)
    """What is predicted and what the network is told."""
    log: dict[str, float] = field(default_factory=dict)
    """Amounts that are never negative, such as precipitation, and a scale c in their units: the model sees
    log(1 + x / c), and forecasts at least 0."""
    weights: dict[str, float] = field(default_factory=dict)
    """Loss weights of variables; 1 where a variable is not named."""
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(0.5, 0.03, 0.5, 4))
    """Noise on the past states in training."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for name, scale in self.log.items():
            if not scale > 0:
                raise UsageError(f"log {name} {scale:g} is no scale; expected an amount above 0")

    def times(self, step: float) -> Times:
        """The lag and the leads of the model in steps of data every `step` hours."""
        return STEP

    def trained(self, forecaster: Any, data: WeatherData, start: Any, sampler: Any = None) -> WeatherModel:
        """The trained model with what it knows of its data; of the start's where it goes on from one."""
        if start is not None:
            return replace(start, forecaster=forecaster, sampler=sampler)
        around = None if data.around is None else Surroundings.of(data.around)
        return WeatherModel(Area.of(data), forecaster, sampler, around, Transform.of(data, self.log))

    def seen(self, data: WeatherData, start: WeatherModel | None) -> WeatherData:
        """The data as the network sees them."""
        if data.around is not None and not self.on_nodes:
            raise UsageError("this model sees a second data set in its frame; join them by genkit_weather.host.framed")
        if start is not None:
            return start.seen(data)
        transform = Transform.of(data, self.log)
        return data if transform is None else transform.seen(data)

    def sizes(self, data: WeatherData) -> Sizes:
        """Sizes of the network for the data."""
        sizes = self.formulation.sizes(data.layout)
        return sizes if data.around is None else sizes.around(data.around.channels)

    def loss_weights(self, data: WeatherData) -> jax.Array:
        """(V,) weights of the variables."""
        unknown = set(self.weights) - set(data.names)
        if unknown:
            raise UsageError(f"weights name {sorted(unknown)}, but {data.source} has {', '.join(data.names)}")
        return jnp.array([self.weights.get(name, 1.0) for name in data.names])

    def plan(self, layout: Any, particles: int) -> dict[str, str]:
        """Sizes, parameters and memory for ``--dry_run``, with so many member-states advanced at once."""
        sizes = self.formulation.sizes(layout)
        (h, w), (fy, fx) = layout.grid, layout.frame
        cells = h * w - (h - 2 * fy) * (w - 2 * fx)
        return {
            "domain": f"{h} x {w} cells, interior {h - 2 * fy} x {w - 2 * fx}, {layout.variables} variables",
            "conditioning": f"{sizes.interior} channels inside, {sizes.boundary} in the {cells} cells of the frame, "
            f"{sizes.scalars} scalars",
        }
