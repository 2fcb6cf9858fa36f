"""What is drawn over four devices is what one device draws; run as a script, this file is the draw."""

import os
import re
import subprocess
import sys

import jax
import numpy as np

from genkit import model
from genkit.diffusion import EDMDenoiser, Heun, PredictorCorrector, sample
from genkit.discrete import Ancestral, Linear, OrderAgnostic, masked
from genkit.discrete import sample as sample_categories
from genkit.model import Diffusion
from genkit.nn import Net, NoisyMLP
from genkit.parallel import all_devices, in_chunks
from genkit.steer import DDSMC, FADG, Denoising, guide, observe, posterior

KEY = jax.random.key(3)


def trained():
    net = Net(NoisyMLP(width=8, depth=2), (3,))
    return Diffusion(EDMDenoiser(net, net.init(jax.random.key(0)), 0.5), (3,), Heun(steps=4))


def logits(x, t, cond=None):
    return jax.nn.one_hot(x, 3)[..., :3] + 0.3


def odd(x, t, cond=None):
    return (x % 2).sum(-1).astype(float)


COLLECTIVE = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")


def chains(denoiser):
    """Programs of kernels of every kind."""

    def chain(draw, sampler, denoiser, *shape):
        return jax.jit(lambda key: draw(key, sampler, denoiser, shape))

    numbers, letters = (Heun(3), PredictorCorrector(3)), (Ancestral(masked(3, Linear()), 3), OrderAgnostic(3))
    found = {type(s).__name__: chain(sample, s, denoiser, 8, 3) for s in numbers}
    return found | {type(s).__name__: chain(sample_categories, s, logits, 8, 5) for s in letters}


def drawn():
    """Plain samples in two chunks, groups under a discriminator, groups of a posterior with a rest; all kernels."""
    one = trained()
    measured = observe(Denoising().build((3,)), np.ones(3), 0.5)
    with all_devices():
        plain = np.concatenate([piece["samples"] for piece in model.request_of(one)()(one, KEY, 16, 8)])
        guided = guide(KEY, FADG(4), OrderAgnostic(3), logits, odd, (8, 5))
        restored = posterior(KEY, DDSMC(steps=3), one.denoiser, measured, 6, 8, chunk=4)
        chunks = in_chunks(lambda x: x**2, jax.numpy.arange(10.0), 4)
        programs = {name: chain.lower(KEY).compile() for name, chain in chains(one.denoiser).items()}
    arrays = {name: program(KEY) for name, program in programs.items()}
    parts = [
        len({str(rows) for rows in a.sharding.devices_indices_map(a.shape).values()})
        for a in (arrays["Heun"], guided.x)
    ]
    arrays |= {"plain": plain, "guided": guided.x, "restored": restored.x, "log_z": restored.log_z, "chunks": chunks}
    talk = [name for name, program in programs.items() if COLLECTIVE.search(program.as_text())]
    return {**arrays, "parts": parts, "talk": talk}


def test_four_devices_draw_what_one_draws(tmp_path):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4"}
    subprocess.run([sys.executable, __file__, str(tmp_path / "four.npz")], check=True, env=environment)
    four = np.load(tmp_path / "four.npz")
    one = drawn()
    assert one.pop("parts") == [1, 1] and four["parts"].tolist() == [4, 4]  # a quarter of the rows on each device
    assert one.pop("talk") == [] and four["talk"].tolist() == ["PredictorCorrector"]  # norms of the batch
    for name, array in one.items():
        np.testing.assert_allclose(four[name], array, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(four["chunks"], np.arange(10.0) ** 2)


if __name__ == "__main__":
    np.savez(sys.argv[1], **drawn())
