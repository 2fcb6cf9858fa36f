"""`genkit new-plugin`: a plugin package of six small files that installs, runs and passes its own test."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genkit.errors import GenkitError, UsageError
from genkit.plugin import registry

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.24"]
build-backend = "hatchling.build"

[project]
name = "genkit-%dist%"
version = "0.1.0"
description = "A plugin of genkit"
requires-python = ">=3.11"
# It needs genkit-jax, which is on no index and therefore not named here: an installer could only find a stranger's
# package of that name. Install it from its checkout first, see README.md.
dependencies = []

[project.entry-points."genkit.plugins"]
%name% = "genkit_%name%:plugin"

[tool.hatch.build.targets.wheel]
only-include = ["genkit_%name%"]
"""

README = """\
# genkit-%dist%

A plugin of genkit. It registers an experiment, a data set, a model and a sampler in `genkit_%name%/__init__.py`.

It needs genkit-jax, which is on no package index: install it from its checkout first, never a package of that name from
an index.

```
python -m pip install -e CHECKOUT_OF_GENKIT
python -m pip install -e .
genkit run %name%.toy
genkit run %name%.toy --sampler heun --data.points 200 --out run
genkit sample run --n 100 --out points.npz
python -m pip install pytest
python -m pytest
```
"""

INIT = '''\
"""The plugin: what it registers, as references that are imported when they are used."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="%name%",
    summary="a plugin to start from",
    experiments={"toy": ("genkit_%name%.toy:Toy", "learn points and draw them")},
    datasets={"cloud": ("genkit_%name%.toy:Cloud", "points of a Gaussian", "numpy:ndarray")},
    models={
        "cloud": (
            "genkit_%name%.toy:CloudDiffusion",
            "a diffusion model of points",
            "numpy:ndarray -> genkit.model.diffusion:Diffusion",
        )
    },
    samplers={"midpoint": ("genkit_%name%.midpoint:Midpoint", "the midpoint rule")},
)
'''

MIDPOINT = '''\
"""A sampler: one step from noise level s to level s1."""

from dataclasses import dataclass

from genkit.diffusion.samplers import LinearSampler


@dataclass(frozen=True)
class Midpoint(LinearSampler):
    """The midpoint rule on dx/ds = (x - D(x; s)) / s: second order."""

    def step(self, x, d, at, denoise):
        """An Euler step to level m gives y, whose slope serves for the whole step."""
        m = (at.s + at.s1) / 2
        y = x + (m - at.s) * (x - d[0]) / at.s
        return x + (at.s1 - at.s) * (y - denoise(y, m)) / m
'''

TOY = '''\
"""A data set, a model that is trained on it, and an experiment."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from genkit.diffusion import EDMDenoiser, LogNormal, denoising_loss
from genkit.experiment import Experiment
from genkit.kinds import Dataset, Model, Network, Sampler
from genkit.model import Diffusion, Recipe
from genkit.nn import Net, NoisyMLP
from genkit.train import AdamW, learn

from genkit_%name%.midpoint import Midpoint


@dataclass(frozen=True)
class Cloud:
    """Points of a Gaussian with mean 1 and standard deviations 1 and 0.2."""

    points: int = 1000  # number of points

    def load(self) -> np.ndarray:
        x = 1 + np.random.default_rng(0).normal(size=(self.points, 2)) * [1.0, 0.2]
        return x.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class CloudDiffusion(Recipe):
    """A diffusion model of points."""

    fixed: ClassVar[tuple[str, ...]] = ("network", "steps")  # part of what was trained
    used: ClassVar[tuple[str, ...]] = ("sampler",)  # may be changed afterwards

    network: Network[int] = field(default_factory=lambda: NoisyMLP(width=64))  # the denoiser
    steps: int = 800  # training steps
    sampler: Sampler = field(default_factory=Midpoint)  # how points are drawn

    def fit(self, run, data: np.ndarray, start: Diffusion | None = None) -> Diffusion:
        net, steps = Net(self.network, (2,)), self.finetune or self.steps
        model = start or Diffusion(EDMDenoiser(net, None, 1.0), (2,), self.sampler)

        def loss(params, aux, x, key, training=True):
            denoiser = replace(model.denoiser, params=params)
            return denoising_loss(key, denoiser, x, None, LogNormal()), (aux, {})

        first, optimizer = model.denoiser.params or net.init, AdamW(lr=3e-3).build(steps)
        params = learn(
            run, "denoiser", loss, first, data, (), optimizer=optimizer, steps=steps, batch=256, ema=50
        )
        return replace(model, denoiser=replace(model.denoiser, params=params))


@dataclass(frozen=True)
class Toy(Experiment):
    """Learn points and draw them."""

    data: Dataset[np.ndarray] = field(default_factory=Cloud)  # points (n, 2)
    model: Model[np.ndarray, Diffusion] = field(default_factory=CloudDiffusion)  # what is learned

    @classmethod
    def preset(cls, name):
        return cls(model=CloudDiffusion(steps=100)) if name == "tiny" else cls()

    def train(self, run):
        run.trained("model", self.data.load)

    def evaluate(self, run):
        x, y = self.data.load(), run.model.sample(run.key("evaluate"), 1000)
        return {f"std_ratio/{i}": y[:, i].std() / x[:, i].std() for i in range(2)}
'''

TEST = """\
import genkit
from genkit.testing import check_plugin, check_sampler


def test_the_plugin(tmp_path):
    check_plugin("%name%")
    run = genkit.run(genkit.config("%name%.toy"), out=tmp_path / "run")
    assert all(abs(ratio - 1) < 0.15 for ratio in run.results.values())
    check_sampler(run.config.model.sampler)
    assert genkit.load_model(tmp_path / "run").sample(run.key("again"), 3).shape == (3, 2)
"""

FILES = {
    "pyproject.toml": PYPROJECT,
    "README.md": README,
    "genkit_%name%/__init__.py": INIT,
    "genkit_%name%/midpoint.py": MIDPOINT,
    "genkit_%name%/toy.py": TOY,
    "tests/test_%name%.py": TEST,
}


@dataclass(frozen=True)
class NewPlugin:
    """Write a plugin package that installs, runs a toy experiment and passes its own test."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the plugin, such as acme; its experiments are then called acme.<item>."""
    out: Path | None = None
    """Folder to make; genkit-<name> if not given."""

    def run(self) -> None:
        """Write the files and print the next steps."""
        _check(self.name)
        dist = self.name.replace("_", "-")
        folder = self.out or Path(f"genkit-{dist}")
        if folder.exists():
            raise UsageError(f"{folder} exists already; choose another --out or remove it")
        for path, text in FILES.items():
            file = folder / _fill(path, self.name, dist)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(_fill(text, self.name, dist))
            except OSError as error:
                raise GenkitError(f"cannot write {file}: {error.strerror}; choose another --out") from error
            print(f"  {file}")
        print(
            f"\nnext steps:\n  cd {folder}\n  python -m pip install -e .\n  genkit plugins\n"
            f"  genkit run {self.name}.toy\n"
            "  python -m pip install pytest\n  python -m pytest"
        )


def _check(name: str) -> None:
    """Refuse names that cannot be one, or that are taken."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot name a plugin; expected a small letter, then small letters, digits or _")
    for one in registry().installed:
        if one.name == name:
            raise UsageError(f"a plugin {name!r} is installed already ({one.distribution}); choose another name")
    if importlib.util.find_spec(f"genkit_{name}"):
        raise UsageError(f"a package genkit_{name} is installed already; choose another name")


def _fill(text: str, name: str, dist: str) -> str:
    return text.replace("%name%", name).replace("%dist%", dist)
