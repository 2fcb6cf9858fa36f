"""Dispatch, errors and exit codes: 0 done, 1 failed, 2 wrong usage, 130/143 interrupted and resumable."""

from __future__ import annotations

import os
import signal as numbers
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from genkit import signals
from genkit.errors import GenkitError, UsageError
from genkit.plugin import registry


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``genkit COMMAND ...`` and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has gone, as in `genkit list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except signals.Interrupted as error:
        if argv is None:  # everything is saved
            sys.stdout.flush()
            signals.leave(error.signal, str(error))
        return _fail(str(error), 128 + error.signal)
    except GenkitError as error:
        if debug:
            traceback.print_exc()
        return _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        return _fail(f"interrupted; {signals.RESUME}", 128 + numbers.SIGINT)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except Exception as error:
        if debug:
            traceback.print_exc()
            return 1
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            return _fail(f"the memory is too small ({_first(error)}); ask for less at once: batch, chunk, width", 1)
        if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike):
            return _fail(f"cannot use {error.filename}: {error.strerror}; check the path", 1)
        return _fail(f"{type(error).__name__}: {_first(error)} ({_origin(error)}); --debug shows all", 1)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        _help()
        return 0
    if words[0] in ("-V", "--version"):
        from genkit import __version__

        print(f"genkit {__version__}")
        return 0
    name = words[0]
    offered = {item.short: item.name for item in registry().items("commands")}
    if name not in offered:
        import difflib

        near = difflib.get_close_matches(name, offered, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "`genkit --help` lists the commands"
        raise UsageError(f"unknown command {name!r}; {hint}")
    command: Any = registry().load("commands", offered[name])
    if hasattr(command, "parse"):
        ready = command.parse(words[1:])
    elif len(words) == 1 and not any(f.default is f.default_factory is MISSING for f in fields(command)):
        ready = command()  # most of the time of a light command is the import of the parser
    else:
        import tyro

        ready = tyro.cli(command, args=words[1:], prog=f"genkit {name}", use_underscores=True)
    return ready.run() or 0


def _origin(error: Exception) -> str:
    """Where to look: the last line of a user's own code that led to an error, else of a plugin, of genkit, or any."""
    ranked = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        file, package = frame.f_code.co_filename, str(frame.f_globals.get("__name__")).partition(".")[0]
        installed = {"site-packages", "dist-packages"} & set(Path(file).parts)
        if package == "genkit" or package.startswith("genkit_"):
            rank = 1 + (package != "genkit")
        else:
            rank = 0 if installed or file.startswith((sysconfig.get_path("stdlib"), "<")) else 3
        ranked.append((rank, len(ranked), f"{file}:{line}"))
    return max(ranked)[-1]


def _first(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [""])[0]


def _help() -> None:
    print("usage: genkit COMMAND [options]\n\nGenerative modelling research on JAX.\n\ncommands:")
    offered = [(item.short, item.summary) for item in registry().items("commands")]
    width = max(12, *(len(name) for name, _ in offered))
    for name, summary in offered:
        print(f"  {name:<{width}} {summary}")
    print("\n`genkit COMMAND --help` shows its options; `--debug` shows tracebacks; `genkit list` shows experiments.")


def _fail(message: str, code: int) -> int:
    print(f"genkit: {message}", file=sys.stderr)
    return code
