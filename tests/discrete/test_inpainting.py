"""Given sites: what is held, and the weights under which the rest has the exact conditional law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import run, start
from genkit.discrete import Ancestral, Inpaint, absorbing, cosine_steps, marginal, sample, steps, uniform
from genkit.smc import Resample
from genkit.testing import discrete_denoiser, exact_law

TABLE = np.random.default_rng(3).dirichlet(np.ones(9)).reshape(3, 3)
SCHEDULE = steps(cosine_steps(4))
PROCESSES = {
    "uniform": uniform(3, SCHEDULE),
    "marginal": marginal(TABLE.sum(0), SCHEDULE),
    "zeros": absorbing(3, 0, SCHEDULE),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_weighted_paths_have_the_exact_law_of_the_chain_given_the_known_site(name):
    process, n, value = PROCESSES[name], 100_000, 2
    chain = Ancestral(process)
    denoiser = discrete_denoiser(TABLE, process)
    whole = np.asarray(exact_law(chain.model(denoiser, (9, 2)), 2, 3))
    held = Inpaint(chain, jnp.array([0, value]), jnp.array([False, True]), weigh=True)
    model = held.model(denoiser, (n, 2))
    state, _ = run(jax.random.key(1), start(jax.random.key(1), model, n), model.stages, Resample())
    x = np.asarray(state.p.x)
    assert (x[:, 1] == value).all()
    np.testing.assert_allclose(np.exp(state.log_z), whole[:, value].sum(), rtol=0.02)
    found = np.bincount(x[:, 0], np.exp(state.log_w), minlength=3)
    np.testing.assert_allclose(found, whole[:, value] / whole[:, value].sum(), atol=0.01)


def test_parts_and_plain_sampling():
    process = {"a": PROCESSES["uniform"], "b": PROCESSES["zeros"]}
    known, fixed = {"a": jnp.array([1, 2]), "b": jnp.array(0)}, {"a": jnp.array([True, False]), "b": jnp.array(False)}

    def denoiser(x, t, cond):
        return jax.tree.map(lambda x: jnp.zeros((*x.shape, 3)), x)

    mask = {"a": jnp.array(True), "b": jnp.array([True, True, False])}
    held = Inpaint(Ancestral(process), known, fixed)
    x = sample(jax.random.key(0), held, denoiser, {"a": (500, 2), "b": (500, 3)}, mask=mask)
    assert (x["a"][:, 0] == 1).all() and set(np.unique(x["a"][:, 1])) == {0, 1, 2} and (x["b"][:, 2] == 0).all()
