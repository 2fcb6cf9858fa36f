"""The network of Continuous Ensemble Forecasting beside plain torch layers with the same weights, on the CPU:

    genkit bench benchmarks.weather_peers:WeatherPeers

needs torch and the plugin weather. The published network (3,556,741 parameters) on 32 x 64 cells, float32: one
evaluation of a block of leads, and Heun's method with 39 evaluations.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.bench import Row, Timed, compiled
from genkit.diffusion import EDMDenoiser, Heun, process_of, rho_grid, sample
from genkit.errors import GenkitError
from genkit.nn import functional
from genkit_weather.models import CEF
from genkit_weather.networks import Conditioning, Sizes

SIZES = Sizes((32, 64), (0, 0), interior=12, boundary=17, scalars=0, outputs=5, lead=True)
STEPS, LOW, HIGH = 20, 0.03, 80.0


class TorchUNet:
    """The layers of our module in torch, channels first, as EDM's code has them: it reads weights and sizes from it."""

    def __init__(self, module: Any):
        self.module, self.weights = module, {}

    def weight(self, parameter: Any) -> Any:
        """A parameter as a tensor, converted once; kernels of convolutions and of dense layers outputs first."""
        import torch

        if id(parameter) not in self.weights:
            value = np.array(parameter[...])
            order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim]
            self.weights[id(parameter)] = torch.as_tensor(np.ascontiguousarray(value.transpose(order)))
        return self.weights[id(parameter)]

    def linear(self, layer: Any, x: Any) -> Any:
        """A dense layer."""
        return torch_nn().linear(x, self.weight(layer.kernel), self.weight(layer.bias))

    def conv(self, layer: Any, x: Any) -> Any:
        """A convolution; all of three cells go round in longitude."""
        if layer.margins != ((0, 0), (0, 0)):
            x = padded(x)
        return torch_nn().conv2d(x, self.weight(layer.conv.kernel), self.weight(layer.conv.bias))

    def norm(self, layer: Any, x: Any) -> Any:
        """Group norm."""
        return torch_nn().group_norm(x, layer.groups, self.weight(layer.scale), self.weight(layer.shift), layer.eps)

    def attention(self, layer: Any, x: Any) -> Any:
        """Self-attention over all cells."""
        n, c, h, w = x.shape
        q, k, v = self.linear(layer.qkv, self.norm(layer.norm, x).flatten(2).mT).chunk(3, -1)
        mixed = torch_nn().scaled_dot_product_attention(q, k, v)
        return x + self.linear(layer.out, mixed).mT.reshape(n, c, h, w)

    def block(self, block: Any, x: Any, emb: Any) -> Any:
        """A residual block; see `genkit.nn.unet.ResidualBlock`."""
        f = torch_nn()

        def resample(x: Any) -> Any:
            return x if block.size is None else (halved if block.down else doubled)(x)

        h = self.conv(block.conv1, resample(f.silu(self.norm(block.norm1, x))))
        h = self.norm(block.norm2, h + self.linear(block.emb, emb)[:, :, None, None])
        h = self.conv(block.conv2, f.silu(h))
        x = resample(x)
        x = (h + (x if block.skip is None else self.conv(block.skip, x))) * 0.5**0.5
        return x if block.attention is None else self.attention(block.attention, x) * 0.5**0.5

    def __call__(self, x: Any, c_noise: Any, interior: Any, lead: Any) -> Any:
        """Tensors (n, 5, 32, 64), (n,), (n, 12, 32, 64), (n,) -> (n, 5, 32, 64)."""
        import torch

        f, embedding, net = torch_nn(), self.module.embedding, self.module.unet
        first = features(c_noise, 0, embedding.features) + features(lead, 1, embedding.features)
        emb = f.silu(self.linear(embedding.mlp.second, f.silu(self.linear(embedding.mlp.first, first))))
        x = image = torch.cat([x, interior], 1)
        x, images = self.conv(net.first, x), iter(net.images)
        skips = [x]
        for block in net.encoder:
            x = self.block(block, x, emb)
            if block.down:
                x = image = (x + halved(self.conv(next(images), image))) * 0.5**0.5
            skips.append(x)
        for block in net.middle:
            x = self.block(block, x, emb)
        for block in net.decoder:
            x = self.block(block, x if block.size else torch.cat([x, skips.pop()], 1), emb)
        return self.conv(net.last, f.silu(self.norm(net.norm, x)))

    def denoise(self, x: Any, sigma: float, interior: Any, lead: Any) -> Any:
        """D(x; sigma) of unit data (Karras et al. 2022, equation 7)."""
        total = sigma**2 + 1
        c_noise = lead.new_full((len(x),), np.log(sigma) / 4)
        return x / total + sigma / total**0.5 * self(x / total**0.5, c_noise, interior, lead)

    def heun(self, z: Any, interior: Any, lead: Any) -> Any:
        """Algorithm 1 of Karras et al. 2022 from standard normals z."""
        levels = [*map(float, rho_grid(STEPS, LOW, HIGH))]
        x = z * levels[0]
        for now, after in zip(levels[:-1], levels[1:], strict=True):
            slope = (x - self.denoise(x, now, interior, lead)) / now
            y = x + (after - now) * slope
            if after > 0:
                y = x + (after - now) * (slope + (y - self.denoise(y, after, interior, lead)) / after) / 2
            x = y
        return x


def torch_nn() -> Any:
    """torch.nn.functional, where torch is there."""
    from torch.nn import functional as f

    return f


def padded(x: Any) -> Any:
    """One more cell around: columns go round, rows are zero."""
    f = torch_nn()
    return f.pad(f.pad(x, (1, 1, 0, 0), mode="circular"), (0, 0, 1, 1))


def taps(channels: int, gain: float) -> Any:
    """The filter 1 3 3 1 of each channel in both directions."""
    import torch

    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return (gain * torch.outer(row, row)).expand(channels, 1, 4, 4).contiguous()


def halved(x: Any) -> Any:
    """Images at half the size."""
    return torch_nn().conv2d(padded(x), taps(x.shape[1], 1.0), stride=2, groups=x.shape[1])


def doubled(x: Any) -> Any:
    """Images at twice the size."""
    return torch_nn().conv_transpose2d(padded(x), taps(x.shape[1], 4.0), stride=2, padding=3, groups=x.shape[1])


def features(t: Any, seed: int, count: int) -> Any:
    """Random Fourier features with the frequencies of our embeddings."""
    import torch

    from genkit.nn import fourier_frequencies

    angle = t[:, None] * torch.as_tensor(2 * np.pi * fourier_frequencies(count, seed=seed), dtype=torch.float32)
    return torch.cat([angle.cos(), angle.sin()], -1)


@dataclass(frozen=True)
class WeatherPeers:
    """One evaluation of four leads, and one member by 39 evaluations; greatest differences of the outputs first."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Differences and times."""
        try:
            import torch
        except ImportError as error:
            raise GenkitError("weather_peers needs torch; pip install torch") from error
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        module = CEF.preset("paper").network.build(nnx.Rngs(0), SIZES)
        network, params = functional(module)
        # layers that start near zero would hide a difference
        params = jax.tree.map(lambda a: a + 0.02 * np.random.default_rng(a.size).standard_normal(a.shape), params)
        params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)
        graph, state = nnx.split(module)
        nnx.replace_by_pure_dict(state, params)
        peer = TorchUNet(nnx.merge(graph, state))
        rng = np.random.default_rng(0)

        def given(n: int) -> tuple[Any, Any, Any]:
            x, interior = (rng.standard_normal((n, 32, 64, c)).astype(np.float32) for c in (5, 12))
            return x, interior, np.linspace(0.025, 0.1, n, dtype=np.float32)

        def theirs(*arrays: Any) -> list[Any]:
            return [torch.as_tensor(np.moveaxis(a, -1, 1).copy() if a.ndim == 4 else a) for a in arrays]

        def conditioning(interior: Any, lead: Any) -> Conditioning:
            return Conditioning(interior, jnp.zeros((len(lead), 0, 17)), jnp.zeros((len(lead), 0)), lead=lead)

        def difference(ours: Any, reference: Any) -> float:
            return float(np.abs(np.moveaxis(np.asarray(ours), -1, 1) - reference.numpy()).max())

        def evaluate(params: Any, x: Any, interior: Any, lead: Any) -> Any:
            return network(params, x, jnp.full(len(lead), 0.1), conditioning(interior, lead))

        def draw(params: Any, z: Any, interior: Any, lead: Any) -> Any:
            denoiser = EDMDenoiser(network, params, 1.0)
            table = Heun(STEPS, LOW, HIGH).table(process_of(denoiser))
            return sample(jax.random.key(0), table, denoiser, z.shape, conditioning(interior, lead), None, z)

        for name, ours, n in (("one evaluation, 4 leads", evaluate, 4), ("39 evaluations, 1 lead", draw, 1)):
            x, interior, lead = given(n)
            program, seconds = compiled(name, ours, params, x, interior, lead)
            yield seconds
            tx, ti, tl = theirs(x, interior, lead)

            def by_torch(one: bool = ours is evaluate, x: Any = tx, interior: Any = ti, lead: Any = tl) -> Any:
                with torch.no_grad():
                    return peer(x, torch.full_like(lead, 0.1), interior, lead) if one else peer.heun(x, interior, lead)

            away = difference(program(params, x, interior, lead), by_torch())
            yield Row(f"{name}: greatest difference", away, "", 0.0, 1e-3, "torch, same weights")
            args = params, x, interior, lead
            yield Timed(name, lambda program=program, args=args: program(*args), {}, ("torch", by_torch))
