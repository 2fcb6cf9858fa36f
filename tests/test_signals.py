"""Signals set a flag; a process of the command line ends by them with the right code at any moment."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from genkit import signals

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_a_signal_waits_for_its_reader(number):
    before = signal.getsignal(number)
    signals.check()
    with pytest.raises(signals.Interrupted, match=signals.name_of(number)) as stopped, signals.postponed():
        with signals.postponed():
            os.kill(os.getpid(), number)
            assert signals.got() == number
        assert stopped is not None  # an inner block does not read it
        signals.check()
        raise AssertionError("check leaves the block")
    assert stopped.value.signal == number
    assert signal.getsignal(number) is before
    with signals.postponed():
        assert signals.got() == 0


def test_the_end_of_the_block_reads_it():
    with pytest.raises(signals.Interrupted), signals.postponed():
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def usual_interrupt():
    """Processes that a shell has put into the background ignore SIGINT; here it is Python's own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_one_does_what_it_did_before(usual_interrupt):
    with pytest.raises(KeyboardInterrupt), signals.postponed():
        os.kill(os.getpid(), signal.SIGINT)
        while not signals.got():  # two that wait at once are one to the system
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signals.got() == 0  # the next work of this process is not stopped
    signals.check()


def test_another_thread_changes_nothing():
    found = []

    def work():
        with signals.postponed():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


# The main thread is in C, where no handler of Python runs, as during a compilation.
BUSY = """
import contextlib, ctypes, sys
from genkit import signals
signals.watch()
with signals.postponed() if sys.argv[1] == "postponed" else contextlib.nullcontext():
    print("ready", flush=True)
    while True:
        ctypes.CDLL(None).usleep(20_000_000)
"""


def ended(*words, numbers):
    command = [sys.executable, "-c", BUSY, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
            line = process.stderr.readline()
        return process.wait(timeout=10), line


@BOTH
def test_outside_the_process_ends_at_once(number):
    code, line = ended("outside", numbers=[number])
    assert code == 128 + number
    assert line == f"genkit: interrupted by {signals.name_of(number)}; {signals.RESUME}\n"


@BOTH
def test_the_second_ends_the_process_at_once(number):
    code, line = ended("postponed", numbers=[signal.SIGTERM, number])
    assert code == 128 + number and line.startswith("genkit: interrupted by ")


def test_a_worker_ends_as_without_it():
    code = (
        "import os, signal, time\nfrom genkit import signals\nsignals.watch()\nchild = os.fork()\n"
        "if not child:\n    time.sleep(20)\n    os._exit(0)\n"
        "time.sleep(0.1)\nos.kill(child, signal.SIGTERM)\nprint(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{-signal.SIGTERM}\n", "")
