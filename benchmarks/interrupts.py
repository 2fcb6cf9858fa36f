"""Runs that are killed or signalled at random moments: none is lost, and their results are those of a run left alone.

    python benchmarks/interrupts.py                          # 10 runs killed 10 times, 20 signalled 10 times
    python benchmarks/interrupts.py --kills 0 --signalled 1 --times 3 --experiments core.mixture     # a short form

A signal (SIGINT or SIGTERM in turn) that reaches a process must end it with 130 or 143 and one line, a kill leaves what
can be resumed, and after its last one a run is resumed to its end. The first line that it prints and the moments are
drawn from --seed. The exit code is 1 if something was lost.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

OPTIONS = {  # beside preset tiny: small, and long enough to be met in training
    "core.mixture": "--steps 1000 --batch 64",
    "weather.diffusion_lam": "--data weather.synthetic_advection --steps 40 --batch 2 --validate 20 --network.base 8 "
    "--starts 1 --leads 1 --members 2 --sampler.steps 2 --baselines persistence",
}
PATIENCE = 120  # seconds until a signal counts as swallowed; a second one would end the process at once


def command(experiment: str, out: Path) -> list[str]:
    """The command line of a run."""
    words = [experiment, "--preset", "tiny", "--save_every", "0.5", *OPTIONS.get(experiment, "").split()]
    return [sys.executable, "-m", "_genkit_jax", "run", *words, "--out", str(out), "--resume"]


def whole(experiment: str, out: Path) -> tuple[float, str]:
    """Seconds and results of a run, or of the rest of one."""
    start = time.monotonic()
    done = subprocess.run(command(experiment, out), capture_output=True, text=True)
    if done.returncode:
        return time.monotonic() - start, f"ended with {done.returncode}: {done.stderr.strip()[-300:]}"
    return time.monotonic() - start, (out / "results.json").read_text()


def met(experiment: str, out: Path, after: float, number: int) -> str:
    """What became of a run that a signal meets: ok, too late (it was done), or what is wrong."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(experiment, out), **streams) as process:
        try:
            process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        try:
            _, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"swallowed: it ran on for {PATIENCE} s"
    if process.returncode == 0:
        state = json.loads((out / "status.json").read_text())["state"]
        return "too late" if state == "done" else f"code 0, but it is {state}"
    right = -number if number == signal.SIGKILL else 128 + number
    if process.returncode == -number != right:
        return "before Python began the command"
    if process.returncode != right:
        return f"code {process.returncode}, expected {right}: {err.strip()[-300:]}"
    return "ok" if "Traceback" not in err else "a traceback"


def main() -> int:
    """Print a line for each run, and what came of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10, help="runs that are killed")
    parser.add_argument("--signalled", type=int, default=20, help="runs that get SIGINT and SIGTERM")
    parser.add_argument("--times", type=int, default=10, help="how often each")
    parser.add_argument("--experiments", nargs="+", default=["core.mixture", "weather.diffusion_lam"])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw, start, counts = random.Random(given.seed), time.monotonic(), Counter()
    with tempfile.TemporaryDirectory() as name:
        left = {one: min(whole(one, Path(name) / f"{one}-{i}") for i in range(2)) for one in given.experiments}
        for one, (seconds, results) in left.items():
            print(f"{one}: {seconds:.1f} s, left alone: {results[:60]!r}", flush=True)
        for i in range(given.kills + given.signalled):
            if time.monotonic() - start > given.seconds:
                print(f"{given.kills + given.signalled - i} runs left out: the time is over")
                break
            one, out = given.experiments[i % len(given.experiments)], Path(name) / f"run-{i}"
            said = Counter()
            for k in range(given.times):
                number = signal.SIGKILL if i < given.kills else (signal.SIGTERM, signal.SIGINT)[k % 2]
                said[last := met(one, out, draw.uniform(0, left[one][0]), number)] += 1
                if last == "too late":  # the next one meets a new run
                    shutil.rmtree(out)
            results = whole(one, out)[1]
            said["equal results" if results == left[one][1] else f"other results: {results[:300]}"] += 1
            what = "killed" if i < given.kills else "signalled"
            print(f"run {i}, {one}, {what}: {dict(said)}", flush=True)
            counts.update({f"{what}: {key}": n for key, n in said.items()})
    for key, n in sorted(counts.items()):
        print(f"{n:5d}  {key}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{time.monotonic() - start:.0f} s, {used.ru_utime + used.ru_stime:.0f} CPU seconds")
    good = ("ok", "too late", "equal results", "before Python began the command")
    return int(any(not key.endswith(good) for key in counts))


if __name__ == "__main__":
    sys.exit(main())
