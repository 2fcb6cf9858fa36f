"""What a GPU does with the programs of genkit; see gpu.sh.

Networks have the sizes of published ones, data are noise. A program is measured in bfloat16 and in float32 as jax
computes it (products in TF32 on NVIDIA's); a small form of it is compared with the CPU of the machine, in full float32.
Shares are of the rate of one large product in the same numbers.
"""

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from genkit.chain import run, start
from genkit.nn import functional
from genkit.programs import flops
from genkit.smc import SCHEMES, Resample
from genkit.testing import LinearGaussian

KINDS: Any = "bfloat16", "float32"
SECONDS = 420  # after which no part begins
MORE = {  # suites that need packages of the command line and of the plugins
    "core.smc": "genkit.bench.smc:SMC",
    "latents.geodesics": "genkit_latents.benchmarks:Geodesics",
    "molecules.speed": "genkit_molecules.benchmarks:Speed",
    "crystals.speed": "genkit_crystals.benchmarks:Speed",
}


@dataclass(frozen=True)
class Row:
    """A figure; where `allowed` is given, the error of one, which must not be larger."""

    name: str
    value: float
    unit: str
    note: str = ""
    allowed: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it is larger than allowed; a NaN is."""
        return self.allowed is not None and not abs(self.value) <= self.allowed


def seconds(call: Callable[[], Any], rounds: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    jax.block_until_ready(call())
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        found.append(time.perf_counter() - begun)
    return float(np.median(found))


def products(small: bool, rates: dict[str, float]) -> Iterator[Row]:
    """Rates of a product and of a copy: the roofs."""
    n = 256 if small else 8192
    for kind in KINDS:
        a = jax.random.normal(jax.random.key(0), (n, n), kind)
        product = jax.jit(jnp.matmul)
        rates[kind] = 2 * n**3 / seconds(lambda a=a, f=product: f(a, a), 3 if small else 20)
        yield Row(f"product of {n} x {n}, {kind}", rates[kind] / 1e12, "TFLOP/s")
    x = jnp.zeros(2**16 if small else 2**28)
    add = jax.jit(lambda x: x + 1)
    yield Row("copy", 8 * x.size / seconds(lambda: add(x), 3 if small else 20) / 1e9, "GB/s", note="read and written")


def training(
    name: str, loss: Callable[..., Any], params: Any, given: Any, kind: str, rates: dict[str, float]
) -> Iterator[Row]:
    """A training step by AdamW: steps a second, share of the rate of products, memory beside the arguments."""
    optimizer = optax.adamw(1e-3)

    def step(params: Any, state: Any, given: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(params, given)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    args = params, jax.jit(optimizer.init)(params), given
    work = flops(jax.make_jaxpr(step)(*args)).value
    begun = time.perf_counter()
    program = jax.jit(step).lower(*args).compile()
    yield Row(name, time.perf_counter() - begun, "s to compile")
    took = seconds(lambda: program(*args), 3)
    yield Row(name, 1 / took, "steps/s")
    yield Row(name, work / took / rates[kind], "of the rate of products", note=f"{work / 1e9:.3g} GFLOP")
    if (memory := program.memory_analysis()) is not None:
        yield Row(name, memory.temp_size_in_bytes / 1e9, "GB beside the arguments")


def as_on_cpu(name: str, f: Callable[..., Any], *args: Any) -> Row:
    """The greatest difference between a program here and on the CPU, over the greatest number, in float32."""
    program = jax.jit(f)
    with jax.default_matmul_precision("highest"):
        here, there = (
            jax.tree.leaves(jax.device_get(program(*jax.device_put(args, device))))
            for device in (jax.devices()[0], jax.devices("cpu")[0])
        )
    errors = [np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in zip(here, there, strict=True)]
    return Row(
        f"{name}: difference from the CPU", float(np.max(errors)), "of the greatest number", "loss and gradient", 1e-4
    )


def unets(small: bool, rates: dict[str, float]) -> Iterator[Row]:
    """Diffusion of weather on 64 x 64 cells and 17 variables: training, and one evaluation."""
    from benchmarks.noise import weather
    from genkit.diffusion import EDMDenoiser, Rho
    from genkit_weather.lam import Formulation, condition, diffusion_loss, domain_of
    from genkit_weather.networks import LamUNet

    data = weather(12 if small else 68, 2)
    domain = domain_of(data, Formulation())
    sizes = domain.formulation.sizes(data.layout)

    def losses(network: Any) -> Callable[..., Any]:
        return lambda p, batch: diffusion_loss(jax.random.key(0), domain, EDMDenoiser(network, p, 0.3), batch, Rho())

    for base in (8,) if small else (64, 128):
        for kind in KINDS[: 1 if small else 2]:
            shape = replace(LamUNet.preset("tiny") if small else LamUNet(), base=base, dtype=kind)
            network, params = functional(shape.build(nnx.Rngs(0), sizes))
            batch = noise(data, 2 if small else 16)
            name = f"U-Net of base {base}, {kind}"
            yield from training(f"{name}, training on {len(batch.truth)}", losses(network), params, batch, kind, rates)
            denoiser, cond = EDMDenoiser(network, params, 0.3), condition(domain, batch.inputs)
            call = jax.jit(lambda d, x, c: d(x, jnp.float32(1.0), c))
            took = seconds(lambda d=denoiser, b=batch, c=cond, f=call: f(d, b.truth, c), 3)
            yield Row(f"{name}, one evaluation", len(batch.truth) / took, "members/s")
    network, params = functional(LamUNet.preset("tiny").build(nnx.Rngs(0), sizes))
    yield as_on_cpu("U-Net", jax.value_and_grad(losses(network)), params, noise(data, 2))


def forecasters(small: bool, rates: dict[str, float]) -> Iterator[Row]:
    """Graph-LAM with the nodes of MEPS (254 x 254 for 268 x 238): training on one and on four steps."""
    from benchmarks.noise import graphs, weather
    from genkit_weather import lam
    from genkit_weather.models import PUBLISHED
    from genkit_weather.networks import GraphLAM

    def made(n: int, frame: int, kind: Any) -> tuple[Any, Any, Any]:
        data = weather(n, frame)
        domain = lam.domain_of(data, PUBLISHED)
        graph = graphs(n, frame)[1]
        net = GraphLAM(shared_embedder=True, dtype=kind).build(nnx.Rngs(0), PUBLISHED.sizes(data.layout), graph)
        network, params = functional(net)
        model = lam.GraphForecaster(network, params, graph, domain)
        return data, model, lambda p, window: lam.graph_loss(replace(model, params=p), window, "mse", jnp.ones(17))

    for kind in KINDS[: 1 if small else 2]:
        data, model, loss = made(*((27, 1) if small else (254, 10)), kind)
        for steps in (1,) if small else (1, 4):
            window = jax.device_put(lam.Windows(data.train, model.domain, steps).take(np.array([0])))
            name = f"Graph-LAM, {data.grid[0] ** 2} nodes, {kind}, training on {steps}"
            yield from training(name, loss, model.params, window, kind, rates)
    data, model, loss = made(27, 1, "float32")
    window = lam.Windows(data.train, model.domain, 1).take(np.array([0]))
    yield as_on_cpu("Graph-LAM", jax.value_and_grad(loss), model.params, window)


def crystals(small: bool, rates: dict[str, float]) -> Iterator[Row]:
    """WyckoffDiff at its published size, on crystals of all space groups: training, and one evaluation."""
    from genkit_crystals.chains import CrystalDenoiser, Frequencies, Matrices, Objective, layout, process
    from genkit_crystals.networks import Sizes, WyckoffGNN

    length, classes, n = (6, 5, 4) if small else (1000, 55, 256)
    rng, network = np.random.default_rng(0), WyckoffGNN.preset("tiny" if small else "paper")
    group = rng.integers(1, 231, n)
    slots = layout(group)
    first, second = slots.shape(n)
    counts = rng.poisson(0.02, second).clip(max=classes - 1)
    arrays = Matrices(group.astype(np.int32), rng.integers(0, 100, first).astype(np.uint8), counts.astype(np.uint8))
    batch, objective = jax.tree.map(jnp.asarray, arrays[np.arange(n)]), Objective("ce")
    processes = process("zeros", length, Frequencies.of(arrays, slots, classes))

    def loss_of(apply: Any) -> Callable[..., Any]:
        return lambda p, batch: objective(jax.random.key(0), CrystalDenoiser(apply, p, slots), batch, processes)[0]

    for kind in KINDS[: 1 if small else 2]:
        apply, params = functional(replace(network, dtype=kind).build(nnx.Rngs(0), Sizes(length, classes)))
        name = f"WyckoffDiff, {kind}"
        yield from training(f"{name}, training on {n}", loss_of(apply), params, batch, kind, rates)
        call, denoiser = jax.jit(lambda d, x, group: d(x, 1.0, group)), CrystalDenoiser(apply, params, slots)
        took = seconds(lambda d=denoiser, f=call: f(d, batch["x"], batch["group"]), 3)
        yield Row(f"{name}, one evaluation", n / took, "crystals/s")
    apply, params = functional(WyckoffGNN.preset("tiny").build(nnx.Rngs(0), Sizes(length, classes)))
    few = jax.tree.map(lambda a: a[:4], batch)
    yield as_on_cpu("WyckoffDiff", jax.value_and_grad(loss_of(apply)), params, few)


def particles(small: bool, rates: dict[str, float]) -> Iterator[Row]:
    """Resampling of a million particles, and a bootstrap filter of as many."""
    n, key, y = 1000 if small else 1_000_000, jax.random.key(0), np.sin(np.arange(1, 21))
    log_w, x = jax.random.normal(key, (n,)), jax.random.normal(key, (n, 16))
    for name in ("systematic", "multinomial", "killing"):
        f = jax.jit(lambda key, log_w, x, scheme=SCHEMES[name]: x[scheme(key, log_w, n)])
        yield Row(f"{name} resampling of {n}", n / seconds(lambda f=f: f(key, log_w, x), 3), "particles/s")
    model, exact = LinearGaussian().bootstrap(y), LinearGaussian().kalman_loglik(y)
    f = jax.jit(lambda key: run(key, start(key, model, n), model.stages, Resample())[0].log_z)
    yield Row(f"bootstrap filter of {n}", n * len(y) / seconds(lambda: f(key), 3), "particle steps/s")
    yield Row(
        f"bootstrap filter of {n}", float(f(key) - exact), "log Z, less the exact one", "Kalman filter", 30 / n**0.5
    )


def noise(data: Any, n: int) -> Any:
    """n examples of the shapes of a data set."""
    from genkit_weather.lam import Batch, Inputs

    h, w = (size - 2 * f for size, f in zip(data.grid, data.frame, strict=True))
    cells, v = data.grid[0] * data.grid[1] - h * w, len(data.names)
    shapes = (h, w, v), (h, w, v), (3, cells, v), (*data.grid, 3 * len(data.forcing_names)), (h, w, v)
    *given, truth = (jax.random.normal(jax.random.key(i), (n, *shape)) for i, shape in enumerate(shapes))
    return Batch(Inputs(*given), truth)


def suite(place: str) -> Iterator[Row]:
    """Rows of a suite of `genkit bench`."""
    from genkit.bench import Timed

    module, _, name = place.partition(":")
    for one in getattr(importlib.import_module(module), name)().measure("full"):
        if isinstance(one, Timed):
            took = seconds(one.call, 3)
            yield Row(one.name, took, "s")
            yield from (Row(one.name, count / took, unit) for unit, count in one.rates.items())
        else:
            allowed = None if one.expected is None else one.tolerance
            yield Row(one.name, one.value if allowed is None else one.error, one.unit, one.note, allowed)


def main(words: list[str]) -> int:
    """Print the table; 1 where a figure is missed."""
    small, begun, missed = "--smoke" in words, time.monotonic(), 0
    rates: dict[str, float] = {}
    parts = {f.__name__: partial(f, small, rates) for f in (products, particles, unets, forecasters, crystals)}
    parts |= {} if small else {name: partial(suite, place) for name, place in MORE.items()}
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}{', smoke' * small}\n")
    print("|  | value | unit | note |\n| --- | --- | --- | --- |")
    for name, part in parts.items():
        try:
            for row in part():
                missed += row.missed
                wrong = f"MISSED, {row.allowed:.2g} is allowed; " if row.missed else ""
                print(f"| {row.name} | {row.value:.4g} | {row.unit} | {wrong}{row.note} |", flush=True)
                if time.monotonic() - begun > SECONDS:
                    print(f"\nstopped in {name} after {SECONDS} s")
                    return int(missed > 0)
        except ImportError as error:
            print(f"| {name}: left out |  |  | {error} |", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
