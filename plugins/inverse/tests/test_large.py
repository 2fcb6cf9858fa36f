"""Images of 256 x 256 in colour: no method needs a matrix of their numbers; what does is refused before it is made."""

import jax
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from genkit.diffusion import EDMDenoiser
from genkit.errors import UsageError
from genkit.plugin import registry
from genkit.programs import flops, watch
from genkit.steer import RandomMatrix, observe, posterior
from genkit_inverse.datasets import GaussianPatches
from genkit_inverse.operators import MRI, GaussianBlur, Tomography

SHAPE = (256, 256, 3)
D = 256 * 256 * 3
PARTICLES, STEPS = 2, 6
METHODS = [item.name for item in registry().items("methods")]


def scaled(params, x, noise, cond):
    """A network of one product for each number."""
    return params * x


def sizes(jaxpr):
    """Numbers of every array of a program."""
    for one in jaxpr.eqns:
        yield from (v.aval.size for v in one.outvars)
        for inner in jaxprs_in_params(one.params):
            yield from sizes(inner)


@pytest.fixture(scope="module")
def blurred():
    operator = GaussianBlur().build(SHAPE)
    return observe(operator, np.zeros(operator.size, np.float32), 0.1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of what is made up
@pytest.mark.parametrize("name", METHODS)
def test_no_method_needs_a_matrix(blurred, name):
    """Its arrays are as a few states of all particles, or a number a level; its cost is told without running it."""
    method = registry().load("methods", name)(steps=STEPS)
    with watch() as seen:
        posterior(jax.random.key(0), method, EDMDenoiser(scaled, np.float32(1.0)), blurred, 1, PARTICLES)
    (program,) = {id(one.jaxpr): one for one in seen.calls if one.name == "_groups"}.values()
    assert max(sizes(program.jaxpr.jaxpr)) <= STEPS * PARTICLES * D
    assert flops(program.jaxpr).value > D


def test_what_needs_one_is_refused(tmp_path):
    """In one line, and at once; coils at such a size are a function, for methods that take one."""
    for make in (
        lambda: Tomography().build((256, 256, 1)),
        lambda: RandomMatrix(rows=10_000).build(SHAPE),
        lambda: GaussianPatches(side=256).load(),
    ):
        with pytest.raises(UsageError, match=r"a matrix of \d+ x \d+ has more than 1e\+08 numbers; ") as caught:
            make()
        assert "\n" not in str(caught.value)
    for width, kind in ((64, "Gram"), (2048, "Function")):
        np.save(tmp_path / "coils.npy", np.ones((2, 128, width), np.complex64))
        assert type(MRI(coils=tmp_path / "coils.npy").build((128, width, 1))).__name__ == kind
