"""`check_programs`: whether what is compiled here would run on a GPU and a TPU, found without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from genkit.programs import Program, watch
from genkit.testing.require import claim, require

PLATFORMS = ("cuda", "tpu")
# Libraries of the GPU, the compiler's own of the TPU, and marks that are no calls.
KNOWN = re.compile(
    r"(cu|cublas|cusolver|cusparse|cufft)_\w+|Eigh|LuDecomposition|Qr|ProductOfElementaryHouseholderReflectors|Sharding"
)


def check_programs(programs: Iterable[Program]) -> None:
    """Raise AssertionError unless programs lower for GPUs and TPUs, and call only what these have.

    An operation without a rule for one of them, a callback to the host (`jax.debug.print` is one) and a library of the
    CPU are refused by name.

    Args:
        programs: as `genkit.programs.watch` saw them.
    """
    for one in programs:
        callbacks = sorted(name for name in one.primitives() if "callback" in name or name.startswith("debug_"))
        require(
            not callbacks, f"program {one.name!r} has a {', '.join(callbacks)}, which waits for the host; take it out"
        )
        with claim(f"program {one.name!r} does not lower for {' and '.join(PLATFORMS)}"):
            called = one.custom_calls(*PLATFORMS)
        foreign = sorted(name for name in called if not KNOWN.fullmatch(name))
        require(
            not foreign,
            f"program {one.name!r} calls {', '.join(foreign)}, which {' and '.join(PLATFORMS)} do not have; "
            f"choose by `jax.lax.platform_dependent`",
        )


def check_lowers(f: Callable[..., Any], *args: Any) -> None:
    """`check_programs` of all that f(*args) calls; nothing is compiled, so f must not read what comes back."""
    with watch() as seen:
        f(*args)
    require(seen.calls, f"{f} calls no compiled program")
    check_programs(seen.programs)
