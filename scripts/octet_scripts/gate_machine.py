"""The machine that a gate measures on: one gate at a time, and nobody else on its GPU."""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from octet_scripts.gate_verdict import GateError


def tell(text):
    print(f"scripts/gate: {text}", file=sys.stderr, flush=True)


def _open_lock(path):
    # Without O_CREAT first: where /tmp is protected, another user's file cannot be opened with it.
    for flags in (os.O_RDONLY, os.O_RDONLY | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise GateError(f"cannot open the lock {path}: {error.strerror}") from None
    raise GateError(f"cannot open the lock {path}")


@contextlib.contextmanager
def lock(wait=True):
    """Holds the machine's lock; it falls with the process, however that ends."""
    path = Path(tempfile.gettempdir()) / "octet-gate.lock"
    descriptor = _open_lock(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise GateError(f"another gate measures on this machine ({path})") from None
            tell(f"another gate measures on this machine ({path}); waiting for it to end")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


LINGER_S = 0.2  # a process that has just ended may still be listed


def foreign_gpu_processes(uuid=None):
    """Ids of processes that compute on the GPU while none of the gate's own runs; none where
    nvidia-smi does not say. While the uuid is unknown: on the first visible GPU."""
    found = _gpu_processes(uuid)
    if found:
        time.sleep(LINGER_S)
        found &= _gpu_processes(uuid)
    return sorted(found)


def _gpu_processes(uuid):
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    which = uuid if str(uuid or "").startswith("GPU-") else visible
    try:
        result = subprocess.run(
            ["nvidia-smi", "-i", which, "--query-compute-apps=pid,gpu_uuid",
             "--format=csv,noheader"],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return set()
    if result.returncode != 0:
        return set()
    found = set()
    for line in result.stdout.splitlines():
        pid, _, gpu = (part.strip() for part in line.partition(","))
        if pid.isdigit() and (not str(uuid or "").startswith("GPU-") or gpu == uuid):
            found.add(int(pid))
    return found
