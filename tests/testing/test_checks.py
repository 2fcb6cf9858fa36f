"""The checks pass on what is right, and name what is wrong with what is not."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from genkit.chain import Kernel, Model
from genkit.diffusion import EDMDenoiser, Heun
from genkit.diffusion.samplers import Particle
from genkit.testing import (
    check_config,
    check_denoiser,
    check_kernel,
    check_plugin,
    check_sampler,
    gaussian_denoiser,
    linear_gaussian_denoiser,
)
from genkit.tree import register_dataclass


def register(cls):
    return register_dataclass(dataclass(frozen=True)(cls))


def fails(words, check, *args, **options):
    with pytest.raises(AssertionError, match=re.escape(words)) as caught:
        check(*args, **options)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- samplers


@dataclass(frozen=True)
class Wrapped:
    """Heun whose model is tampered with."""

    steps: int = 20
    change: Any = None

    def model(self, denoiser, shape, cond=None):
        return self.change(self, denoiser, shape, cond)


def end(f):
    """A last step that changes the samples by f(keys, x)."""

    @register
    class Last(Kernel):
        def move(self, keys, p, u):
            return Particle(f(keys, p.denoised), p.denoised)

    def change(self, denoiser, shape, cond):
        model = Heun(self.steps).model(denoiser, shape, cond)
        return replace(model, stages=(*model.stages[:-1], (Last(), np.zeros(1))))

    return change


@dataclass(frozen=True)
class Miscounted(Heun):
    nfe: int = 40


@register
class AtLevel:
    denoiser: Any
    level: float = field(metadata={"static": True})

    def __call__(self, x, t, cond=None):
        return self.denoiser(x, t, cond)


@dataclass(frozen=True)
class Static(Heun):
    """Bakes its highest level into the program."""

    def model(self, denoiser, shape, cond=None, noise=None):
        return super().model(AtLevel(denoiser, self.sigma_max), shape, cond, noise)


@pytest.mark.parametrize(
    "sampler, words",
    [
        (Wrapped(change=end(lambda k, x: x[:, :1])), "Wrapped returned samples of shape (6, 1); (6, 2) was asked for"),
        (Wrapped(change=end(lambda k, x: x - x.mean(0))), "Wrapped drew other samples in two parts"),
        (Wrapped(change=end(lambda k, x: 0 * x)), "Wrapped drew the same samples with another key"),
        (Heun(8), "Heun has a standard deviation off by"),
        (Miscounted(), "Miscounted states nfe=40 but calls the network 39 times"),
        (Static(), "Static compiles again for new values of its options"),
        (Wrapped(), "Wrapped cannot be sampled: TypeError"),
    ],
)
def test_wrong_samplers(sampler, words):
    fails(words, check_sampler, sampler)


# ---------------------------------------------------------------- denoisers


@register
class Baked:
    scale: float = field(default=0.5, metadata={"static": True})

    def __call__(self, x, t, cond=None):
        return self.scale * x


def centred(x, t, cond=None):
    return x - x.mean(0)


def by_place(x, t, cond=None):
    return x * jnp.arange(x.shape[0])[:, None]


def half(x, t, cond=None):
    return x.astype(jnp.bfloat16)


def scalar_time(x, t, cond=None):
    return x * (t if t.ndim == 0 else 2 * t[:, None])


def numpy_inside(x, t, cond=None):
    return x * np.sin(t)


@pytest.mark.parametrize(
    "denoiser, words",
    [
        (lambda x, t, cond=None: x[:, :1], "<lambda> returned shape (4, 1) for x of shape (4, 3)"),
        (half, "half returned bfloat16 for float32"),
        (centred, "centred lets items depend on each other"),
        (by_place, "by_place gives other answers when the items change places"),
        (scalar_time, "scalar_time takes a time () for another than (n,)"),
        (numpy_inside, "numpy_inside cannot be called under jit with x (4, 3) and float time (4,)"),
        (Baked(), "Baked compiles again for new parameters"),
    ],
)
def test_wrong_denoisers(denoiser, words):
    fails(words, check_denoiser, denoiser, (4, 3))


def test_right_denoisers():
    check_denoiser(gaussian_denoiser(0.7, 0.5), (4, 3))
    check_denoiser(linear_gaussian_denoiser([[1.0, 2.0], [0.0, 1.0]]), (4, 2), jnp.arange(8.0).reshape(4, 2))
    check_denoiser(EDMDenoiser(lambda params, x, t, cond: params * x, jnp.float32(0.3)), (4, 2, 3))


# ---------------------------------------------------------------- kernels


@register
class Walk(Kernel):
    """x1 = x + scale eps, and what it says about itself, right or wrong."""

    scale: Any = 0.7
    stated: Any = 0.7
    shift: Any = 0.0

    def move(self, keys, p, u):
        return p + self.scale * jax.vmap(lambda k: jax.random.normal(k, p.shape[1:]))(keys)

    def log_prob(self, p, p1, u):
        return norm.logpdf(p1, p + self.shift, self.stated).sum(-1)

    def log_g(self, p, p1, u):
        return -((p1 - u) ** 2).sum(-1)

    def look(self, keys, p, u):
        return p, -(p**2).sum(-1)


@register
class Box(Kernel):
    """A density with edges, and a cache beside the state."""

    def move(self, keys, p, u):
        x = p.x + jax.vmap(jax.random.uniform)(keys)
        return Particle(x, x**2)

    def log_prob(self, p, p1, u):
        return jnp.where((p1.x >= p.x) & (p1.x <= p.x + 1), 0.0, -jnp.inf)


@register
class Flip(Kernel):
    """Two sites with three values each, drawn anew with probability `rate`."""

    rate: Any = 0.4
    stated: Any = 0.4

    def move(self, keys, p, u):
        def one(key, x):
            k_value, k_which = jax.random.split(key)
            return jnp.where(jax.random.uniform(k_which, (2,)) < self.rate, jax.random.randint(k_value, (2,), 0, 3), x)

        return jax.vmap(one)(keys, p)

    def log_prob(self, p, p1, u):
        return jnp.log(self.stated / 3 + (1 - self.stated) * (p == p1)).sum(-1)


@register
class Fan(Kernel):
    """Waste-free: two states a particle."""

    def move(self, keys, p, u):
        return (p[:, None] + jnp.arange(2.0)[:, None] / 10).reshape(-1, p.shape[-1])

    def log_g(self, p, p1, u):
        return p1.sum(-1)


class Coupled(Walk):
    def move(self, keys, p, u):
        return p - p.mean(0)


class OneKey(Walk):
    def move(self, keys, p, u):
        return p + jax.random.normal(keys[0], p.shape)


class Flat(Walk):
    def log_g(self, p, p1, u):
        return p1


class Relative(Walk):
    def log_g(self, p, p1, u):
        return p1[:, 0] - p1[:, 0].max()


class Dead(Walk):
    def move(self, keys, p, u):
        return 2 * p


@register
class Hidden(Kernel):
    scale: float = field(default=0.7, metadata={"static": True})

    def move(self, keys, p, u):
        return self.scale * p


P, U = jnp.arange(8.0).reshape(4, 2), jnp.float32(0.3)
for cls in (Coupled, OneKey, Flat, Relative, Dead):
    register(cls)


@pytest.mark.parametrize("kernel, p", [(Walk(), P), (Flip(), jnp.zeros((4, 2), int)), (Fan(), P)])
def test_right_kernels(kernel, p):
    check_kernel(kernel, p, U)


def test_a_kernel_whose_particles_carry_a_cache():
    check_kernel(Box(), Particle(jnp.zeros(4), jnp.zeros(4)), U)
    fails("Box moves a tuple; give state=", check_kernel, Box(), Particle(*jnp.zeros((2, 4))), U, lambda p: (p.x,))


@pytest.mark.parametrize(
    "kernel, words",
    [
        (Walk(stated=0.8), "Walk.log_prob is not the density of move: E[h(x1) / M(x1)] ="),
        (Walk(stated=0.63), "Walk.log_prob is not the density of move"),
        (Walk(shift=0.1), "Walk.log_prob is not the density of move"),
        (Coupled(), "Coupled.move gives particles other numbers when others are left out"),
        (OneKey(), "OneKey.move gives particles other numbers when others are left out"),
        (Relative(), "Relative.log_g gives particles other numbers when others are left out"),
        (Flat(), "Flat.log_g returned shape (4, 2); expected (4,)"),
        (Dead(), "Dead.move has no spread in some direction"),
        (Hidden(), "Hidden compiles again for new numbers"),
        (Flip(stated=0.5), "Flip.log_prob gives"),
    ],
)
def test_wrong_kernels(kernel, words):
    fails(words, check_kernel, kernel, P.astype(int) % 3 if isinstance(kernel, Flip) else P, U)


# ---------------------------------------------------------------- configurations and plugins


def test_right_configurations():
    check_config(Heun)


@dataclass(frozen=True)
class Undocumented:
    """A component."""

    steps: int = 3
    """Number of steps."""
    level: float = 0.1


@dataclass(frozen=True)
class Bare:
    steps: int = 3  # number of steps


@dataclass
class Thawed:
    """Can be changed."""


@dataclass(frozen=True)
class Needy:
    """Cannot be made."""

    steps: int
    """Number of steps."""


@dataclass(frozen=True)
class Forgetful:
    """Does not keep what it is given."""

    steps: int = 3
    """Number of steps."""

    @classmethod
    def preset(cls, name):
        return cls(30 if name == "paper" else 3)

    def __post_init__(self):
        object.__setattr__(self, "steps", self.steps + 1)


@pytest.mark.parametrize(
    "cls, words",
    [
        (Undocumented, "Undocumented.level has no help; put a string below it"),
        (Bare, "Bare has no docstring"),
        (Thawed, "Thawed is no frozen dataclass"),
        (Needy, "preset 'default' of Needy: UsageError: Needy cannot be made without values"),
        (Forgetful, "Forgetful, preset 'tiny', does not come back from its options: steps: 4 -> 5"),
    ],
)
def test_wrong_configurations(cls, words):
    fails(words, check_config, cls)


def test_an_experiment_needs_its_presets(toy):
    fails("preset 'paper' of Study: UsageError: toy.study has no preset 'paper'", check_config, toy.Study)


SOURCE = """
{head}
from dataclasses import dataclass
from genkit.plugin import Plugin

@dataclass(frozen=True)
class Thing:
    '''A data set.'''
    def load(self): ...

plugin = Plugin(name="mine", summary={summary!r}, datasets={{{item!r}: ("mine_plugin:{cls}", {what!r})}})
"""


@pytest.mark.parametrize(
    "changed, words",
    [
        ({}, None),
        ({"head": "import jax"}, "import mine_plugin loads jax; register by strings"),
        ({"head": "import no_such"}, "plugin 'mine' is broken: ModuleNotFoundError: No module named 'no_such'"),
        ({"summary": ""}, "plugin 'mine' has the summary ''; expected one line"),
        ({"what": "two\nlines"}, "mine.thing has the summary"),
        ({"item": "My Thing"}, "item name 'mine.My Thing'"),
        ({"cls": "Gone"}, "datasets, mine.thing: GenkitError: mine.thing cannot be loaded: AttributeError"),
        ({"cls": "Plugin"}, "datasets, mine.thing: UsageError: mine.thing is no Dataset"),
    ],
)
def test_plugins(install, changed, words):
    given = {"head": "", "summary": "mine", "item": "thing", "cls": "Thing", "what": "a thing"}
    install("mine", SOURCE.format(**{**given, **changed}))
    if words is None:
        check_plugin("mine")
    else:
        fails(words, check_plugin, "mine")


def test_a_plugin_that_is_not_there():
    fails("no plugin 'nowhere' is installed; there are core", check_plugin, "nowhere")


def test_a_model_of_own_stages_is_a_sampler():
    """A third party's sampler needs nothing of the samplers here."""

    @register
    class Jump(Kernel):
        denoiser: Any

        def move(self, keys, p, u):
            mean, std = np.array([0.7, -1.0]), np.array([0.5, 1.0])
            drawn = mean + std * jax.vmap(lambda k: jax.random.normal(k, (2,)))(keys)
            return Particle(drawn.astype(p.x.dtype), self.denoiser(p.x, jnp.float32(1.0)))

    class Exact:
        nfe = 1

        def model(self, denoiser, shape, cond=None):
            def init(keys):
                return Particle(jnp.zeros(shape), jnp.zeros(shape)), None

            return Model(init, ((Jump(denoiser), np.zeros(1)),))

    check_sampler(Exact(), accuracy=0.0)
