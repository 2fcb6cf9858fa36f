"""Start of the `genkit` command.

This lies outside the package because another distribution, named `genkit`, also imports as `genkit`. With
both installed one of them is broken, whichever came last, so the command must not start inside the package.
"""

import atexit
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


def main() -> int:
    """Run the command line; returns the exit code."""
    if problem := clash():
        print(problem, file=sys.stderr)
        return 1
    from genkit import memory
    from genkit.signals import watch

    memory.keep()  # before there are threads
    gc.set_threshold(20_000, 10, 10)  # traces are many objects, and looking for garbage took up to a tenth of the time
    watch()  # before what takes time
    atexit.register(gc.freeze)  # else Python looks through all modules for garbage before it ends, for a second
    from genkit.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
