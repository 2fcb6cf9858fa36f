"""`genkit import wyckoffdiff`: weights of the reference code (Ekstrom Kelvinius et al. 2025, arXiv 2502.06485)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genkit.errors import DataError, UsageError
from genkit.model import Format, read_checkpoint
from genkit.nn import Net
from genkit_crystals.chains import Frequencies, Noise, Objective, encode, layout
from genkit_crystals.data import Crystals
from genkit_crystals.models.generator import WyckoffDiffusion
from genkit_crystals.models.trained import CrystalModel
from genkit_crystals.networks import Sizes, WyckoffGNN
from genkit_crystals.protostructures import ELEMENTS, GROUPS, read_labels

FIRST = "zero_dof_embedding.weight"
CONTEXT = {"dof": "dof", "letter": "pos", "group": "sg", "step": "time", "multiplicity": "multiplicity"}
HEADS = {"elements_out": "zero_df_out_mlp", "counts_out": "inf_df_out_mlp"}
NEVER = -1e9  # logit of what a network of fewer elements does not know


@dataclass(frozen=True)
class Published(Format):
    """A WyckoffDiff of the reference code: its checkpoint, or a state_dict as .safetensors or .npz.

    Widths, layers, depth of the perceptrons, T, the largest count and the number of elements are those of the weights.
    """

    noise: Noise = "uniform"
    """What it was trained with (its option d3pm_transition); marginal needs `labels`."""
    labels: Path | None = None
    """CSV table of the training labels: how often space groups, and with marginal noise values, occur. Without it all
    space groups are equally frequent."""

    def read(self, path: Path) -> tuple[CrystalModel, WyckoffDiffusion]:
        """The trained model and its recipe."""
        state, start = read_checkpoint(path)[0], ""
        for name in state:
            if name.endswith(FIRST):
                start = name.removesuffix(FIRST)
        state = {name.removeprefix(start): np.asarray(a, np.float32) for name, a in state.items()}
        if FIRST not in state:
            raise DataError(f"{path} has no {FIRST}; expected the weights of WyckoffDiff")
        network, sizes, elements = _sizes(state)
        net = Net(network, (sizes,))
        params = _params(_padded(state, elements, sizes.classes), network, net.shapes(), path.name)
        groups, frequencies = self._frequencies(elements, sizes.classes)
        # uniform on fewer elements than are represented is a marginal law
        noise = "marginal" if self.noise == "uniform" and elements < ELEMENTS else self.noise
        recipe = WyckoffDiffusion(
            network=network, noise=self.noise, length=sizes.length, likelihood=False, correlations=False,
            counts=sizes.classes - 1, objective=Objective("ce"),
        )  # fmt: skip
        model = CrystalModel(
            net, params, groups, frequencies, None, noise, sizes.length, False, None, recipe.final, recipe.widths
        )
        return model, recipe

    def _frequencies(self, elements: int, classes: int) -> tuple[np.ndarray, Frequencies]:
        """Of space groups and of values."""
        if self.noise == "marginal" and self.labels is None:
            raise UsageError("marginal noise is that of the training data; give their table by --labels")
        groups, even = np.r_[0, np.ones(GROUPS, int)], (np.arange(ELEMENTS + 1) <= elements) / (elements + 1)
        if self.labels is None:
            return groups, Frequencies(even, np.full(classes, 1 / classes))
        data = Crystals.of(*read_labels(self.labels))
        slots = layout(data.groups)
        arrays = encode(data.crystals, slots, classes)
        groups = np.bincount(arrays.group, minlength=GROUPS + 1)
        counted = Frequencies.of(arrays, slots, classes)
        return groups, counted if self.noise == "marginal" else Frequencies(even, np.full(classes, 1 / classes))


def _sizes(state: Mapping[str, np.ndarray]) -> tuple[WyckoffGNN, Sizes, int]:
    """The network that has such weights, what it is built for, and how many elements it knows."""
    layers = {int(m[1]) for name in state if (m := re.match(r"layers\.(\d+)\.", name))}
    depths = {len(_linears(state, stem)) for stem in ("layers.0.a_mlp", "layers.0.psi_mlp", *HEADS.values())}
    if len(depths) != 1 or min(depths) < 2:
        raise DataError(f"the perceptrons have {sorted(depths)} linear layers; expected one number of at least 2")
    try:
        rows, width = state[FIRST].shape
        context, length = state["dof_embedding.weight"].shape[1], len(state["time_embedding.weight"])
        classes = len(state["inf_dof_embedding.weight"])
    except KeyError as error:
        raise DataError(f"the weights lack {error.args[0]}; expected those of WyckoffDiff") from None
    if not 1 < rows <= ELEMENTS + 1:
        raise DataError(f"{FIRST} has {rows} rows; expected one for an empty position and 1 to {ELEMENTS} elements")
    network = WyckoffGNN(width, context, len(layers), pointer=0, affinity=0, depth=depths.pop() - 1)
    return network, Sizes(length, classes), rows - 1


def _linears(state: Mapping[str, np.ndarray], stem: str) -> list[str]:
    """Names of the linear maps of a perceptron, in their order."""
    found = (re.fullmatch(rf"{re.escape(stem)}\.(\d+)\.weight", name) for name in state)
    return [f"{stem}.{i}" for i in sorted(int(m[1]) for m in found if m)]


def _padded(state: Mapping[str, np.ndarray], elements: int, classes: int) -> dict[str, np.ndarray]:
    """The weights for all elements that are represented; those that were not known never come."""
    more, new = ELEMENTS - elements, dict(state)
    if not more:
        return new
    new[FIRST] = np.pad(state[FIRST], ((0, more), (0, 0)))
    new["inf_dof_linear.weight"] = np.pad(state["inf_dof_linear.weight"], ((0, 0), (0, more)))
    empty = np.where(np.arange(classes) == 0, 0.0, NEVER)  # no orbit
    for stem, bias in (("zero_df_out_mlp", np.full(more, NEVER)), ("inf_df_out_mlp", np.tile(empty, more))):
        last = _linears(state, stem)[-1]
        new[f"{last}.weight"] = np.pad(state[f"{last}.weight"], ((0, len(bias)), (0, 0)))
        new[f"{last}.bias"] = np.concatenate([state[f"{last}.bias"], bias.astype(np.float32)])
    return new


def _params(state: Mapping[str, np.ndarray], network: WyckoffGNN, shapes: Any, file: str) -> dict[str, Any]:
    """Parameters of the network from weights by their published names; raises DataError."""
    used: set[str] = set()

    def take(name: str) -> np.ndarray:
        if name not in state:
            raise DataError(f"{file} has no {name}; expected the weights of WyckoffDiff")
        used.add(name)
        return state[name]

    def linear(name: str) -> dict[str, np.ndarray]:
        return {"kernel": np.ascontiguousarray(take(f"{name}.weight").T), "bias": take(f"{name}.bias")}

    def perceptron(stem: str) -> dict[str, Any]:
        return {"layers": {i: linear(name) for i, name in enumerate(_linears(state, stem))}}

    params: dict[str, Any] = {
        "element": {"embedding": take(FIRST)},
        "count": {"embedding": take("inf_dof_embedding.weight")},
        "counts": linear("inf_dof_linear"),
        "context": {own: {"embedding": take(f"{theirs}_embedding.weight")} for own, theirs in CONTEXT.items()},
        "layers": {
            i: {"scores": perceptron(f"layers.{i}.a_mlp"), "values": perceptron(f"layers.{i}.psi_mlp")}
            for i in range(network.layers)
        },
        **{own: perceptron(theirs) for own, theirs in HEADS.items()},
    }
    if unknown := sorted(set(state) - used):
        raise DataError(f"{file} has {unknown[0]}, which this network has not")
    wrong = [
        f"{jax.tree_util.keystr(path, simple=True, separator='.')} {found.shape}, expected {wanted.shape}"
        for (path, found), wanted in zip(jax.tree.leaves_with_path(params), jax.tree.leaves(shapes), strict=True)
        if found.shape != wanted.shape
    ]
    if jax.tree.structure(params) != jax.tree.structure(shapes) or wrong:
        raise DataError(f"{file} does not fit: {(wrong or ['other layers'])[0]}")
    return params
