"""Weights of the reference code: the network that they make is the published one, written here again in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import genkit
from genkit.cli.import_ import Import
from genkit.errors import DataError, UsageError
from genkit_crystals.chains.layout import encode, layout
from genkit_crystals.models.published import Published
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.wyckoff import tables

LABELS = ["AB_cF8_225_a_b:Cl-Na", "A3BC_cP5_221_c_a_b:O-Sr-Ti", "AB3C_oP20_62_c_cd_a:Ca-O-Ti", "A2B_aP6_1_4a_2a:O-Si"]


def weights(elements=94, width=6, context=3, layers=2, depth=2, length=5, classes=6):
    """Random weights under the published names."""
    rng, state = np.random.default_rng(0), {}

    def linear(name, inputs, outputs):
        state[f"{name}.weight"] = rng.normal(size=(outputs, inputs)) / inputs**0.5
        state[f"{name}.bias"] = rng.normal(size=outputs)

    def perceptron(name, inputs, outputs, hidden):
        sizes = [inputs, *[hidden] * depth, outputs]
        for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
            linear(f"{name}.{2 * i}", a, b)

    state["zero_dof_embedding.weight"] = rng.normal(size=(elements + 1, width))
    state["inf_dof_embedding.weight"] = rng.normal(size=(classes, 1))
    linear("inf_dof_linear", elements, width)
    for name, n in {"dof": 4, "pos": 27, "sg": 231, "time": length, "multiplicity": 193}.items():
        state[f"{name}_embedding.weight"] = rng.normal(size=(n, context))
    size = width + context
    for i in range(layers):
        perceptron(f"layers.{i}.a_mlp", 2 * size, 1, 2 * size)
        perceptron(f"layers.{i}.psi_mlp", size, width, 2 * size)
    perceptron("zero_df_out_mlp", width, elements + 1, 2 * width)
    perceptron("inf_df_out_mlp", width, elements * classes, 2 * width)
    return {name: a.astype(np.float32) for name, a in state.items()}


def plain(state, crystal, step, layers=2, classes=6):
    """Logits of x_0 by row of one crystal, (E + 1,) or (E, classes): section 4 of the paper, row by row."""

    def silu(x):
        return x / (1 + np.exp(-x))

    def linear(name, x):
        return state[f"{name}.weight"].astype(float) @ x + state[f"{name}.bias"]

    def perceptron(name, x):
        i = 0
        while f"{name}.{i}.weight" in state:
            x = linear(f"{name}.{i}", silu(x) if i else x)
            i += 2
        return x

    t, group = tables(), crystal.group
    rows, elements = range(t.rows[group]), len(state["zero_dof_embedding.weight"]) - 1
    fixed, h, c = t.dof[group] == 0, [], []
    for row in rows:
        own = {z: n for r, z, n in crystal.orbits if r == row}
        if fixed[row]:
            h.append(state["zero_dof_embedding.weight"][next(iter(own), 0)].astype(float))
        else:
            counts = [own.get(z, 0) for z in range(1, elements + 1)]
            h.append(linear("inf_dof_linear", state["inf_dof_embedding.weight"][counts, 0].astype(float)))
        told = {"dof": t.dof[group, row], "pos": row, "sg": group, "time": step,
                "multiplicity": t.multiplicity[group, row]}  # fmt: skip
        c.append(sum(state[f"{name}_embedding.weight"][value].astype(float) for name, value in told.items()))
    for i in range(layers):
        z = [np.concatenate(pair) for pair in zip(h, c, strict=True)]
        new = []
        for a in rows:
            scores = np.array([perceptron(f"layers.{i}.a_mlp", np.concatenate([z[a], z[b]]))[0] for b in rows])
            share = np.exp(scores - scores.max())
            share /= share.sum()
            new.append(
                silu(h[a] + sum(s * perceptron(f"layers.{i}.psi_mlp", z[b]) for s, b in zip(share, rows, strict=True)))
            )
        h = new
    return [
        perceptron("zero_df_out_mlp", h[row]) if fixed[row]
        else perceptron("inf_df_out_mlp", h[row]).reshape(elements, classes)
        for row in rows
    ]  # fmt: skip


@pytest.mark.parametrize("elements", [94, 100])
def test_the_imported_network_is_the_published_one(elements, tmp_path):
    state = weights(elements)
    safetensors.numpy.save_file({f"model.{name}": a for name, a in state.items()}, tmp_path / "weights.safetensors")
    model, recipe = Published().read(tmp_path / "weights.safetensors")
    assert (recipe.length, recipe.counts, recipe.network.depth, recipe.network.layers) == (5, 5, 2, 2)
    crystals = [Protostructure.from_label(label) for label in LABELS]
    slots = layout(c.group for c in crystals)
    data = encode(crystals, slots, 6)[:]
    step = jnp.full(len(crystals), 3)
    x0, x1 = jax.jit(lambda params: model.network(params, data["x"], slots, data["group"], step))(model.params)
    for n, crystal in enumerate(crystals):
        for row, logits in enumerate(plain(state, crystal, 3)):
            part, found = (slots.fixed, x0) if tables().dof[crystal.group, row] == 0 else (slots.free, x1)
            i = np.flatnonzero(part.real[crystal.group] & (part.row[crystal.group] == row))[0]
            np.testing.assert_allclose(found[n, i][: len(logits)], logits, rtol=2e-4, atol=2e-4)
            if len(logits) < found.shape[2]:  # elements that it does not know
                rest = np.asarray(jax.nn.softmax(found[n, i], -1))[len(logits) :]
                assert not (rest if part is slots.fixed else rest[:, 1:]).any()
    # uniform noise is on the elements that it knows
    prior = np.exp(model.processes()[0].log_prior)
    np.testing.assert_allclose(prior, (np.arange(101) <= elements) / (elements + 1), rtol=1e-5)


def test_an_imported_model_is_sampled_as_any_other(tmp_path):
    np.savez(tmp_path / "weights.npz", **weights())
    (tmp_path / "labels.csv").write_text("\n".join(["protostructure", *LABELS]))
    words = ("wyckoffdiff", tmp_path / "weights.npz", "--out", tmp_path / "m", "--labels", tmp_path / "labels.csv")
    Import.parse([*map(str, words)]).run()
    model = genkit.load_model(tmp_path / "m")
    assert set(model.known) == {1, 62, 221, 225} and model.noise == "marginal"
    found = model.sample(jax.random.key(0), 3, group=62, elements=("O", "Ti"))
    crystals = [Protostructure.from_label(one) for one in found if one]
    assert crystals and all(set(c.composition) <= {8, 22} for c in crystals)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"zero_dof_embedding.weight": None}, "has no zero_dof_embedding.weight"),
     ({"time_embedding.weight": None}, "lack time_embedding.weight"),
     ({"layers.1.psi_mlp.0.bias": None}, "has no layers.1.psi_mlp.0.bias"), ({"extra": np.zeros(1)}, "has extra"),
     ({"sg_embedding.weight": np.zeros((230, 3))}, r"context.group.embedding \(230, 3\), expected \(231, 3\)"),
     ({"zero_df_out_mlp.4.weight": None}, "linear layers")],
)  # fmt: skip
def test_other_weights_are_refused(change, says, tmp_path):
    state = {name: a for name, a in (weights(100) | change).items() if a is not None}
    np.savez(tmp_path / "weights.npz", **state)
    with pytest.raises(DataError, match=says):
        Published().read(tmp_path / "weights.npz")


def test_marginal_noise_needs_the_data(tmp_path):
    np.savez(tmp_path / "weights.npz", **weights())
    with pytest.raises(UsageError, match="--labels"):
        Published(noise="marginal").read(tmp_path / "weights.npz")
