"""Start of the `genkit` command.

This lies outside the package because another distribution, named `genkit`, also imports as `genkit`. With
both installed one of them is broken, whichever came last, so the command must not start inside the package.
"""

import atexit
import ctypes
import gc
import sys
from importlib.metadata import PackageNotFoundError, version


def clash() -> str | None:
    """One line about a distribution named `genkit` that is installed beside this one, or None."""
    try:
        other = version("genkit")
    except PackageNotFoundError:
        return None
    return (
        f"genkit: the distribution 'genkit' {other} is installed too and imports under the same name; "
        "uninstall both (python -m pip uninstall genkit genkit-jax), then install genkit-jax again from its "
        "checkout"
    )


def keep_memory() -> None:
    """Keep memory that is freed for what is allocated next, up to 2 GB of it, if the allocator is that of GNU.

    A compiled program allocates its temporary arrays in each call. Above 32 MB they would be mapped anew each time, and
    every 4 KB of them cost a page fault: up to a third of the processor's time. Only the main arena can hold them, so
    it is the only one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-8, 1)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX
        if mallopt is not None:
            mallopt(option, value)


def main() -> int:
    """Run the command line; returns the exit code."""
    if problem := clash():
        print(problem, file=sys.stderr)
        return 1
    keep_memory()  # before there are threads
    from genkit.signals import watch

    watch()  # before what takes time
    atexit.register(gc.freeze)  # else Python looks through all modules for garbage before it ends, for a second
    from genkit.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
