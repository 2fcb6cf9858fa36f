"""How fast crystals are sampled, learnt from and encoded."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.bench import Row, Timed, compiled
from genkit.nn import functional
from genkit.train import AdamW, TrainState, make_step

REFERENCE = 0.51  # crystals/s of the reference code on one thread, H = 64, 2 layers, T = 100


@dataclass(frozen=True)
class Speed:
    """The default network (H = 64, 2 layers) at T = 100, on crystals of the decorated prototypes."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Crystals a second by steps of the sampler, training steps, structures encoded on all cores and on one."""
        from genkit_crystals.chains import (
            CrystalDenoiser,
            Frequencies,
            Objective,
            ancestral,
            encode,
            generate,
            layout,
            process,
        )
        from genkit_crystals.datasets import AflowPrototypes
        from genkit_crystals.networks import Sizes, WyckoffGNN
        from genkit_crystals.protostructures import tables

        full = profile == "full"
        length, n, widths = (100, 256, (6, 12)) if full else (4, 8, ())
        data = AflowPrototypes().load() if full else AflowPrototypes.preset("tiny").load()
        data = data[np.random.default_rng(0).permutation(len(data))[:n]]
        groups = np.array([c.group for c in data.crystals])
        slots = layout(groups)
        arrays, classes = encode(data.crystals, slots), 5
        processes = process("marginal", length, Frequencies.of(arrays, slots, classes))
        network, params = functional(WyckoffGNN().build(nnx.Rngs(0), Sizes(length, classes)))
        denoiser = CrystalDenoiser(network, params, slots)
        for strides in (length, length // 2, length // 4):
            sampler = ancestral(processes, strides)

            def draw(sampler: Any = sampler) -> Any:
                return generate(jax.random.key(0), denoiser, sampler, groups, 128, widths)

            yield Timed(f"sampling, {strides} steps", draw, {"crystals/s": n})
        yield Row(
            "sampling by the reference code, 100 steps, one thread", REFERENCE, "crystals/s", note="H = 64, 2 layers"
        )

        small = np.flatnonzero(tables().rows[groups] <= 12)[: 64 if full else 4]
        one = layout(groups[small])
        batch = encode([data.crystals[i] for i in small], one)[np.arange(len(small))]
        optimizer = AdamW().build(10)

        def loss(params: Any, aux: Any, batch: dict[str, Any], key: jax.Array) -> Any:
            value, metrics = Objective()(key, CrystalDenoiser(network, params, one), batch, processes)
            return value, (aux, metrics)

        args = TrainState.create(params, optimizer), jax.tree.map(jnp.asarray, batch), jax.random.key(0)
        name = f"training step on {len(small)} crystals of up to 12 rows"
        step, row = compiled(name, make_step(loss, optimizer), *args)
        yield row
        yield Timed(name, lambda: step(*args), {"steps/s": 1})
        yield _encoding(1000 if full else 20)


def _encoding(n: int) -> Timed:
    """Structures of AFLOW's prototypes, repeated, on all cores and on one."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    from genkit_crystals.protostructures import Entry, encode

    texts = [one["snl"].structure.to(fmt="poscar") for one in AFLOW_PROTOTYPE_LIBRARY[:n]]
    entries = [Entry(str(i), texts[i % len(texts)], "poscar") for i in range(n)]
    alone = "the time on one core", lambda: encode(entries, 1)
    return Timed(f"encoding on {os.cpu_count()} cores", lambda: encode(entries), {"structures/s": n}, alone)
