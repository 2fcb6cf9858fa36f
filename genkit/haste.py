"""Compilation in haste, for programs that are hardly run: those of tests and of the preset tiny."""

import os
import sys
from importlib.metadata import version

from packaging.version import Version

# Of jaxlib before 0.11: later ones have no other way to make kernels, and an unknown flag ends the process.
FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def hasten() -> None:
    """Let the compiler take little time from here on, for code that is slower; to be called before the first array.

    A variable JAX_DISABLE_MOST_OPTIMIZATIONS=0 keeps it from that. Processes that start later inherit it.
    """
    if os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") != "1":
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAGS not in flags and Version(version("jaxlib")) < Version("0.11"):
        os.environ["XLA_FLAGS"] = f"{flags} {FLAGS}".strip()
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_disable_most_optimizations", True)
