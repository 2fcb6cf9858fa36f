"""The run folder: claimed by mkdir, whole files replaced at once, a status that tells who is at work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError, UsageError
from genkit.files import damaged, read_json, write_json

TIME = "%Y-%m-%dT%H:%M:%S%z"


def claim(name: str, seed: int, root: Path = Path("runs")) -> Path:
    """Make and return the new folder ``root/<name>/<time>-<seed>``; a clash gets a suffix."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    for suffix in ["", *(f"-{i}" for i in range(2, 1000))]:
        folder = root / name.replace(":", ".") / (stem + suffix)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise GenkitError(f"cannot make the run folder {folder}: {error.strerror}; choose another --out") from error
    raise GenkitError(f"{root / name / stem} and a thousand more exist already; choose another --out")


def is_run(folder: Path) -> bool:
    """Whether it is a run folder."""
    return os.path.isfile(folder / "config.yaml")  # False too for what no path can be


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """A run folder in which no other process works."""
    status = Status(folder)
    status.take()
    try:
        yield
    finally:
        status.release()


def is_held(folder: Path) -> bool:
    """Whether a process works in a run folder, as far as this machine can tell."""
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # it is locked, or cannot be asked
        return True
    return False


class Status:
    """status.json: when a run began, its state (running, done, failed, interrupted), finished stages and process."""

    def __init__(self, folder: Path):
        """Read what is there."""
        self.path = folder / "status.json"
        self.content = self._read()

    def _read(self) -> dict[str, Any]:
        new = {"state": "new", "done": [], "seconds": {}}
        mend = "delete it; `genkit run ... --resume` repeats its stages, and keeps what is trained"
        content = read_json(self.path, new, mend)
        if not all(type(content.get(key)) is type(value) for key, value in new.items()):
            raise damaged(self.path, f"has not the keys {', '.join(new)} as they should be", mend)
        return content

    @property
    def done(self) -> list[str]:
        """Finished stages."""
        return self.content["done"]

    def take(self) -> None:
        """Become the process that works on this run; refuse while another one does.

        The claim is a lock on the folder's file ``.lock``, which the system drops when the process ends, however
        it ends; of two processes that resume a run at the same instant one is refused.
        """
        try:
            self._lock = (self.path.parent / ".lock").open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = f"process {self.content.get('pid', '?')} on {self.content.get('host', '?')}"
            raise UsageError(f"{self.path.parent} is in use by {owner}; wait for it or stop it") from None
        except OSError as error:
            raise GenkitError(f"cannot write in {self.path.parent}: {error.strerror}; choose another folder") from error
        self.content = self._read()
        if self.content["state"] == "new":
            self.content["begun"] = time.strftime(TIME)
        self.content |= {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}

    def release(self) -> None:
        """Let another process work on this run."""
        self._lock.close()

    def set(self, state: str, message: str | None = None) -> None:
        """Change the state."""
        self.content |= {"state": state, "message": message, "time": time.strftime(TIME)}
        write_json(self.path, self.content)

    def finish(self, stage: str, seconds: float) -> None:
        """Mark a stage as finished."""
        self.content["done"].append(stage)
        self.content["seconds"][stage] = round(seconds, 2)
        write_json(self.path, self.content)
