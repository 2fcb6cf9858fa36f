"""What a run ran on: set-up of jax, and environment.json."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError
from genkit.files import damaged, read_json, write_json

BEGUN = time.strftime("%Y-%m-%dT%H:%M:%S%z")  # with its number it tells a process from others
KEPT = 0.1  # seconds of compilation that are worth a file
ADDRESSES = 2_000_000_000  # bytes that jax reserves for a first small program, and a little more


def set_up() -> None:
    """Turn on the compilation cache (unless GENKIT_COMPILE_CACHE=0) and join the hosts of a cluster job.

    Raises `GenkitError` under a limit of memory in which jax ends the process without a word.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < ADDRESSES:
        raise GenkitError(
            f"this process may have {limit / 1e9:.3g} GB of addresses (ulimit -v), and jax reserves more than it uses; "
            f"expected at least {ADDRESSES / 1e9:.3g} GB: limit the memory by a control group in place of ulimit"
        )
    import jax

    from genkit.data import cache_dir
    from genkit.parallel import initialise

    if os.environ.get("GENKIT_COMPILE_CACHE") != "0" and not jax.config.values.get("jax_compilation_cache_dir"):
        jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "jax"))
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:  # most programs take less than jax's second
            jax.config.update("jax_persistent_cache_min_compile_time_secs", KEPT)
    initialise()


def describe() -> dict[str, Any]:
    """Command line, versions, devices, memory: what is needed to understand a figure later."""
    import jax

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    devices = jax.devices()
    return {
        "argv": sys.argv,
        "git": _git(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "hosts": jax.process_count(),
        "peak_memory_gb": round(peak / 1e9, 3),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of genkit, its plugins and what their numbers depend on; read once, as all that is installed is."""
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return {n: v for n, v in sorted(installed.items()) if n in names or n.startswith("genkit-")}


def read(folder: Path) -> list[dict[str, Any]]:
    """What environment.json says: an entry for each command that wrote in a run folder, the first one first."""
    file, mend = folder / "environment.json", "delete it; nothing else needs it"
    entries = read_json(file, [], mend)
    if not all(isinstance(one, dict) for one in entries):
        raise damaged(file, "has entries that are no mappings", mend)
    return entries


def write(folder: Path, command: Sequence[str] = ()) -> None:
    """Add this process to environment.json, or say anew what it says of itself: its memory grows.

    `command` are the words after ``genkit`` where it is one.
    """
    mine = {"begun": BEGUN, "pid": os.getpid()}
    others = [one for one in read(folder) if {k: one.get(k) for k in mine} != mine]
    write_json(folder / "environment.json", [*others, mine | {"command": list(command)} | describe()])


def _git() -> str | None:
    """The commit of the working directory, marked when it has changes; None outside a repository."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
