"""Floating-point operations of a program, counted in its jaxpr with the lengths of its loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log2, prod
from typing import Any

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxprs_in_params

# One for each number that comes out, as XLA counts them,
ARITHMETIC = frozenset(
    "abs acos acosh add add_any asin asinh atan atan2 atanh cbrt ceil clamp cos cosh digamma div erf erf_inv erfc exp "
    "exp2 expm1 floor integer_pow lgamma log log1p logistic max min mul neg nextafter polygamma pow rem round rsqrt "
    "sign sin sinh sqrt square sub tan tanh".split()
)
# or goes in.
REDUCTIONS = frozenset("cumlogsumexp cummax cummin cumprod cumsum reduce_max reduce_min reduce_prod reduce_sum".split())
# Iterations of a library, whose number depends on the values.
LIBRARY = frozenset(
    "buffer_callback custom_call eig eigh ffi_call hessenberg householder_product io_callback pallas_call "
    "pure_callback qr geqrf geqp3 schur svd sylvester tridiagonal tridiagonal_solve".split()
)


@dataclass(frozen=True)
class Flops:
    """A number of floating-point operations; where some are left out, it is the least."""

    value: float = 0.0
    left_out: frozenset[str] = frozenset()
    """What is counted once although it repeats ("while"), or not at all (the names of library functions)."""

    def __add__(self, other: Flops) -> Flops:
        """Both."""
        return Flops(self.value + other.value, self.left_out | other.left_out)

    def __mul__(self, times: float) -> Flops:
        """One after the other."""
        return Flops(self.value * times, self.left_out)

    def __str__(self) -> str:
        """In units that a person reads: "1.25 GFLOP", "at least 3 MFLOP (while loops once, without eigh)"."""
        step = next((i for i, _ in enumerate(UNITS) if self.value < 999.5 * 1000.0**i), len(UNITS) - 1)
        text = f"{self.value / 1000.0**step:.3g} {UNITS[step]}FLOP"
        loops = ["while loops once"] if "while" in self.left_out else []
        rest = sorted(self.left_out - {"while"})
        notes = loops + ([f"without {', '.join(rest)}"] if rest else [])
        return f"at least {text} ({', '.join(notes)})" if notes else text


UNITS = ("", "k", "M", "G", "T", "P", "E")


def flops(jaxpr: ClosedJaxpr | Jaxpr) -> Flops:
    """Operations of one call.

    A product of matrices or a convolution has two for each product of two numbers; what acts number by number and
    sums have one; moving, comparing, integers and random bits have none. A scan counts its body as often as it runs, of
    several branches the dearest counts, of a while loop one turn: how often it turns is not known before.
    """
    return _Count()(getattr(jaxpr, "jaxpr", jaxpr))


class _Count:
    """The bodies that were counted already."""

    def __init__(self) -> None:
        self.known: dict[Any, Flops] = {}

    def __call__(self, jaxpr: Any) -> Flops:
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        if jaxpr not in self.known:
            self.known[jaxpr] = sum((self.of(one) for one in jaxpr.eqns), Flops())
        return self.known[jaxpr]

    def of(self, one: Any) -> Flops:
        """Operations of an equation."""
        name, params = one.primitive.name, one.params
        if name in LIBRARY:
            return Flops(0.0, frozenset({name}))
        if name == "scan":
            return self(params["jaxpr"]) * params["length"]
        if name == "while":
            return self(params["body_jaxpr"]) + self(params["cond_jaxpr"]) + Flops(0.0, frozenset({"while"}))
        if name == "cond":
            return max(map(self, params["branches"]), key=lambda f: f.value)
        if name == "shard_map":  # the body is that of one device
            return self(params["jaxpr"]) * params["mesh"].size
        if name == "custom_linear_solve":
            return self(params["jaxprs"].solve)
        if name in FORMULAS:
            return Flops(float(FORMULAS[name](one, *(v.aval.shape for v in one.invars))))
        inner = list(jaxprs_in_params(params))
        if inner:  # jit, custom derivatives, remat
            return sum(map(self, inner), Flops())
        if name in ARITHMETIC | REDUCTIONS and jnp.issubdtype(one.outvars[0].aval.dtype, jnp.inexact):
            return Flops(float((one.invars if name in REDUCTIONS else one.outvars)[0].aval.size))
        return Flops()


def _out(one: Any) -> int:
    return one.outvars[0].aval.size


def _product(one: Any, a: tuple[int, ...], b: tuple[int, ...]) -> float:
    (contracted, _), _ = one.params["dimension_numbers"]
    return 2 * _out(one) * prod(a[i] for i in contracted)


def _convolution(one: Any, a: tuple[int, ...], kernel: tuple[int, ...]) -> float:
    """As if the frame were not padded; zeros put between the inputs are left out."""
    features = kernel[one.params["dimension_numbers"].rhs_spec[0]]
    return 2 * _out(one) * prod(kernel) / features / prod(one.params["lhs_dilation"])


def _lu(one: Any, a: tuple[int, ...]) -> float:
    small, large = sorted(a[-2:])
    return prod(a[:-2]) * (large * small**2 - small**3 / 3)


def _fft(one: Any, a: tuple[int, ...]) -> float:
    """5 n log2 n, the usual figure; half of it where one side is real."""
    n = prod(one.params["fft_lengths"])
    real = 2 if "R" in one.params["fft_type"].name else 1
    return 5 * n * log2(n) / real * max(prod(a), _out(one)) / n


def _window(one: Any, a: tuple[int, ...]) -> float:
    return _out(one) * prod(one.params["window_dimensions"])


FORMULAS: dict[str, Callable[..., float]] = {
    "cholesky": lambda one, a: prod(a) * a[-1] / 3,
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "fft": _fft,
    "lu": _lu,
    "reduce_window_max": _window,
    "reduce_window_min": _window,
    "reduce_window_sum": _window,
    "scatter-add": lambda one, a, index, updates: prod(updates),
    "triangular_solve": lambda one, a, b: prod(b) * a[-1],
}
