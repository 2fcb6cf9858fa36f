"""The suite `molecules.speed`: enumeration, training steps, sampling, checks by RDKit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.bench import Row, Timed, compiled
from genkit.discrete import OrderAgnostic, order_agnostic_loss, sample
from genkit.nn import functional
from genkit.steer import FADG, guide
from genkit.train import AdamW, TrainState, make_step
from genkit_molecules.chemistry import enumerate_graphs, sites, smiles_of
from genkit_molecules.items import GraphDenoiser, GraphLogOdds
from genkit_molecules.models import Learned

ELEMENTS = ("C", "N", "O", "F")
ATOMS = 9  # heavy atoms of most molecules of QM9


@dataclass(frozen=True)
class Speed:
    """Molecules of 9 atoms, the network of `molecules.lattice_guidance`; values are noise: any have that speed."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Seconds of enumerations, steps a second, molecules a second."""
        smoke = profile == "smoke"
        enumerate_graphs(1)
        for n, published in ((4, None),) if smoke else ((5, 2.0), (6, 10.0)):
            begun = time.perf_counter()
            enumerate_graphs(n)
            note = "" if published is None else f"one core; asked for: under {published:g} s"
            yield Row(f"enumeration of {n} atoms", time.perf_counter() - begun, "s", note=note)
        n, batch = (3, 8) if smoke else (ATOMS, 128)
        network = Learned().network
        apply, params = functional(network.build(nnx.Rngs(0), ELEMENTS, "generator", 1, 0))
        odds_apply, odds = functional(network.build(nnx.Rngs(0), ELEMENTS, "discriminator", 1, 0))
        denoiser, log_odds = GraphDenoiser(params, apply, len(ELEMENTS)), GraphLogOdds(odds, odds_apply, len(ELEMENTS))
        key, rule = jax.random.key(0), AdamW().build(1000)

        def loss(params: Any, aux: None, x: Any, key: Any) -> Any:
            return order_agnostic_loss(key, GraphDenoiser(params, apply, len(ELEMENTS)), x, None, 4), (aux, {})

        x = jnp.asarray(np.random.default_rng(0).integers(0, 4, (batch, sites(n))), jnp.int32)
        args = TrainState.create(params, rule, ema=False), x, key
        program, seconds = compiled("training step", make_step(loss, rule), *args)
        yield seconds
        yield Timed(f"training step, {batch} molecules", lambda: program(*args), {"steps/s": 1, "molecules/s": batch})
        count = 16 if smoke else 1024
        draw = partial(sample, key, OrderAgnostic(4), denoiser, (count, sites(n)))
        yield Timed(f"ARDM, {count} molecules", draw, {"molecules/s": count})
        few = 4 if smoke else 32
        guided = partial(guide, key, FADG(10), OrderAgnostic(4), denoiser, log_odds, (few, sites(n)))
        yield Timed(f"FADG of 10 particles, {few} molecules", lambda: guided().x, {"molecules/s": few})
        graphs = np.asarray(draw(), np.uint8)
        yield Timed(f"SMILES of {count} molecules", lambda: smiles_of(graphs, ELEMENTS), {"molecules/s": count})
