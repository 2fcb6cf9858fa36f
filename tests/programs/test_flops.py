"""Operations against exact numbers, and what a watch sees and makes up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.programs import Flops, flops, inherit, watch, watched

A = jnp.ones((4, 4))
PRODUCT = 2 * 4**3


def of(f, *args):
    return flops(jax.make_jaxpr(f)(*args))


def fifty(a):
    return jax.lax.scan(lambda c, _: (c @ a, None), a, length=50)[0]


def test_loops_count_as_often_as_they_turn():
    assert of(fifty, A) == Flops(50 * PRODUCT)
    assert of(lambda a: jax.lax.scan(lambda c, _: (fifty(c), None), a, length=3)[0], A) == Flops(150 * PRODUCT)
    assert of(jax.vmap(jax.jit(fifty)), jnp.ones((7, 4, 4))) == Flops(350 * PRODUCT)
    assert of(lambda a: jax.lax.fori_loop(0, 5, lambda i, c: c @ a, a), A) == Flops(5 * PRODUCT)
    turns = of(lambda a: jax.lax.while_loop(lambda c: c[0, 0] < 9, lambda c: c @ a, a), A)
    assert turns == Flops(PRODUCT, frozenset({"while"})) and str(turns) == "at least 128 FLOP (while loops once)"
    assert of(lambda a: jax.lax.map(lambda b: b @ a, jnp.ones((6, 4, 4))), A) == Flops(6 * PRODUCT)


def test_the_dearest_branch_counts():
    assert of(lambda a: jax.lax.cond(a[0, 0] > 0, fifty, lambda a: a @ a, a), A) == Flops(50 * PRODUCT)


def test_gradients_and_checkpoints():
    """Backwards a product has two, of which that with respect to a constant is not made; remat repeats the first."""

    def loss(a, b):
        return (a @ b).sum()

    assert of(jax.grad(loss, (0, 1)), A, A) == Flops(3 * PRODUCT + 16)
    once = of(jax.grad(lambda a: (jnp.sin(a @ A) @ A).sum()), A)
    again = of(jax.grad(jax.checkpoint(lambda a: (jnp.sin(a @ A) @ A).sum())), A)
    assert again.value - once.value >= PRODUCT


def test_products_convolutions_and_what_acts_number_by_number():
    assert of(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), jnp.ones((5, 2, 3)), jnp.ones((5, 3, 7))) == Flops(
        2 * 5 * 2 * 3 * 7
    )
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 6))

    def convolved(x, kernel, stride=1, groups=1):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=dimensions, feature_group_count=groups
        )

    forward = 2 * (2 * 8 * 8 * 6) * (3 * 3 * 3)
    assert of(convolved, x, kernel) == Flops(forward)
    assert of(lambda x, k: convolved(x, k, 2), x, kernel) == Flops(forward / 4)
    assert of(lambda x, k: convolved(x, k, groups=3), x, jnp.ones((3, 3, 1, 6))) == Flops(forward / 3)
    backward = of(jax.grad(lambda x: convolved(x, kernel, 2).sum()), x)
    assert backward.value == pytest.approx(2 * forward / 4, rel=0.01)  # forwards, and to the input: zeros left out
    assert of(lambda a: jnp.sin(a) + a, A) == Flops(32)
    assert of(lambda a: a.sum(0), A) == Flops(16)
    assert of(lambda a: a.T[::-1].reshape(-1), A) == Flops(0)
    assert of(lambda i: i * 2 + 1, jnp.arange(9)) == Flops(0)
    assert of(lambda a: jax.lax.linalg.cholesky(a, symmetrize_input=False), A) == Flops(64 / 3)
    assert of(lambda a: jax.lax.linalg.triangular_solve(a, jnp.ones((4, 9)), left_side=True), A) == Flops(4 * 4 * 9)
    assert of(jnp.fft.fft, jnp.ones((3, 8), complex)) == Flops(3 * 5 * 8 * 3)
    assert of(jnp.fft.rfft, jnp.ones((3, 8))) == Flops(3 * 5 * 8 * 3 / 2)
    assert of(lambda a, i: a.at[i].add(1.5), jnp.ones(9), jnp.arange(4)).value == 4


def test_units_and_what_is_left_out():
    assert [str(Flops(v)) for v in (0, 999, 1234, 999.6e3, 2.5e9)] == [
        "0 FLOP", "999 FLOP", "1.23 kFLOP", "1 MFLOP", "2.5 GFLOP",
    ]  # fmt: skip
    both = of(lambda a: jnp.linalg.eigh(a, symmetrize_input=False)[0][0] + (a @ a)[0, 0], A)
    assert str(both) == "at least 129 FLOP (without eigh)"


def test_a_watch_sees_programs_and_makes_up_what_they_return():
    twice = jax.jit(lambda x: (2 * x, jnp.isnan(x), jnp.int32(3), jax.random.split(jax.random.key(1))))
    before = twice(A)[0]
    with watch() as seen:
        assert watched() is seen
        number, failed, whole, keys = twice(jnp.zeros((4, 4)))
        twice(A)
        inherit(twice)(A)
    assert watched() is None and [one.name for one in seen.calls] == ["<lambda>"] * 3 and len(seen.programs) == 1
    assert flops(seen.programs[0].jaxpr) == Flops(16)
    assert (
        0.5 <= number.min() and number.max() <= 1.5 and (np.std(number, 0) > 0).all() and (np.std(number, 1) > 0).all()
    )
    assert not failed.any() and whole == 1 and keys.shape == (2,) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    np.testing.assert_array_equal(twice(A)[0], before)
