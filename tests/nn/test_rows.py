"""Rows of an image on four virtual devices: a U-Net and gradients of its layers as on one; as a script, the checks."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.nn import UNet, functional
from genkit.nn.conv import Conv, GroupNorm, downsample, pad_replicate, upsample
from genkit.parallel import all_devices, mesh_for, split_rows


def same_on_four(f, *args):
    """The text of the program on four devices, whose numbers are those of one."""
    alone = jax.jit(f)(*args)
    with all_devices(1):
        together = jax.jit(lambda *args: f(*args)).lower(*args).compile()
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(together(*args)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * float(jnp.abs(one).max()))
    return together.as_text()


def a_unet_is_that_of_one_device():
    """21 rows and 11 at the coarse level, neither of which 4 divides."""
    options = {"bottleneck_attention": False, "dropout": 0.0, "padding": ("replicate", "replicate")}
    config = UNet(base=4, multipliers=(1, 2), blocks=1, **options)
    f, params = functional(config.build(nnx.Rngs(0), 2, 2, (21, 6), 4))
    params = jax.tree.map(lambda a: a + 0.1, params)
    x, emb = jax.random.normal(jax.random.key(0), (1, 21, 6, 2)), jnp.ones((1, 4))
    text = same_on_four(f, params, x, emb)
    assert re.search(r"collective-permute\(", text)  # rows come from the devices beside,
    gathered = re.findall(r"f32\[1,\d+,\d+,(\d+)\]\S* all-gather\(", text)
    assert set(gathered) <= {"2"}  # features are never whole, only what is given and what comes out


def so_is_the_gradient_of_its_layers():
    class Layers(nnx.Module):
        def __init__(self, rngs):
            self.conv = Conv(2, 4, padding=("replicate", "zero"), rngs=rngs)
            self.norm = GroupNorm(4)

        def __call__(self, x):
            h = split_rows(self.norm(self.conv(split_rows(x))))
            return h * upsample(split_rows(downsample(pad_replicate(h, (22, 6)))), (21, 6))

    f, params = functional(Layers(nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(0), (1, 21, 6, 2))
    same_on_four(jax.grad(lambda params, x: jnp.square(f(params, x)).sum(), (0, 1)), params, x)


def rows_and_items_are_split():
    x = jnp.arange(2 * 8 * 3.0).reshape(2, 8, 3)
    assert dict(mesh_for(6).shape) == {"data": 2, "model": 2} and dict(mesh_for(8).shape) == {"data": 4, "model": 1}
    with all_devices(2):
        made = jax.jit(split_rows)(x)
        assert [s.data.shape for s in made.addressable_shards] == [(1, 4, 3)] * 4
        np.testing.assert_array_equal(made, x)
        assert jax.jit(split_rows)(x[:, :1]).sharding.is_fully_replicated  # of fewer rows than devices


def test_on_four_devices():
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_on_one_device_nothing_changes():
    x = jnp.zeros((1, 8, 3))
    assert split_rows(x) is x


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    rows_and_items_are_split()
    a_unet_is_that_of_one_device()
    so_is_the_gradient_of_its_layers()
