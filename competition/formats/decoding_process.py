"""A separate process for native decoders: a damaged file that crashes one ends only that process.

scipy's reader of MATLAB files and GDCM's decoders of compressed DICOM crash on some damaged files (SIGSEGV, abort). One
decoding process serves all files of a program. It starts with the first file (0.4 s), imports no torch, and starts anew
after a crash. Arrays come back as plain bytes: one of 5.6 MB takes 38 ms instead of 34 ms in this process.
"""

import atexit
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.source_files import first_line

_START_SECONDS = 120.0
"""Generous: on a busy machine the imports alone take several seconds."""
_READY = b"ready"
_SECONDS, _BYTES_PER_SECOND = 10.0, 5_000_000
_MEMORY = 1 << 30
"""Beyond what the process holds when idle and what the array itself needs."""


class _Decoder:
    """The running process and the connection to it."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        code = "import sys; from competition.formats.decoding_process import serve; serve(int(sys.argv[1]))"
        paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what decoders print about damaged files
            env=os.environ | {"PYTHONPATH": paths},
        )
        theirs.close()
        ready = False
        with suppress(EOFError, OSError):  # it has ended, which poll takes for an answer
            ready = self.connection.poll(_START_SECONDS) and self.connection.recv_bytes() == _READY
        if not ready:
            self.stop()
            raise CompetitionError("the process that decodes MATLAB and compressed DICOM files does not start")

    def stop(self) -> None:
        self.connection.close()
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()


_decoder: _Decoder | None = None
_lock = Lock()


def decode_elsewhere(function: str, path: Path, arguments: list[Any], array_bytes: int = 0) -> NDArray[Any]:
    """Call a function that decodes a file in the decoding process.

    Args:
        function: "module:name" of a function (path, *arguments) -> array.
        path: The file.
        arguments: JSON values.
        array_bytes: Size of the array, where the header declares it; adds to the limits of time and memory.

    Raises:
        CompetitionError: The function raised an exception, the decoder crashed, or it took longer than 10 s and 1 s per
            5 MB of the file and its array.
    """
    global _decoder
    seconds = _SECONDS + (path.stat().st_size + array_bytes) / _BYTES_PER_SECOND
    with _lock:
        if _decoder is None or _decoder.owner != os.getpid():
            _decoder = _Decoder()
        decoder = _decoder
        try:
            decoder.connection.send_bytes(json.dumps([function, str(path), arguments, array_bytes]).encode())
            if not decoder.connection.poll(seconds):
                raise CompetitionError(f"file could not be decoded within {seconds:.0f} s, so it must be damaged", path)
            answer = json.loads(decoder.connection.recv_bytes())
            if "shape" in answer:
                array = np.empty(answer["shape"], np.dtype(answer["dtype"]))
                if array.nbytes:
                    decoder.connection.recv_bytes_into(array.reshape(-1).view(np.uint8).data)
                return array.T if answer["transposed"] else array
        except BaseException as error:  # a Ctrl-C included: the next answer would belong to this question
            decoder.stop()
            _decoder = None
            if not isinstance(error, (EOFError, OSError)):
                raise
            code = decoder.process.returncode
            name = signal.Signals(-code).name if code and code < 0 else f"exit status {code}"
            reason = f"file made its decoder crash ({name}), so it must be damaged"
            raise CompetitionError(reason, path, "Copy the file again") from error
    raise CompetitionError(answer["what"], answer["where"], answer["repair"])


@atexit.register
def _stop() -> None:
    if _decoder is not None and _decoder.owner == os.getpid():
        _decoder.stop()


def serve(descriptor: int) -> None:
    """Answer requests until the other end closes; runs in the decoding process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    connection.send_bytes(_READY)
    while True:
        try:
            function, path, arguments, array_bytes = json.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            module, name = function.split(":")
            decode = getattr(importlib.import_module(module), name)
            _limit_memory(_MEMORY + 3 * array_bytes)
            array = decode(Path(path), *arguments)
            transposed = array.flags.f_contiguous  # MATLAB's order; another copy could need too much memory
            array = np.ascontiguousarray(array.T if transposed else array)
            answer = {"shape": array.shape, "dtype": array.dtype.str, "transposed": transposed}
        except Exception as error:
            array = np.empty(0)
            answer = {"what": f"file can't be decoded ({first_line(error)})", "where": path, "repair": None}
            if isinstance(error, CompetitionError):
                answer = {"what": error.what, "where": error.where, "repair": error.repair or None}
            elif isinstance(error, MemoryError):
                answer["what"] = "file needs more than 1 GB beyond its declared size"
        connection.send_bytes(json.dumps(answer).encode())
        if array.nbytes:
            connection.send_bytes(array.reshape(-1).view(np.uint8).data)


def _limit_memory(size: int) -> None:
    """Let this process take at most ``size`` bytes more than it holds."""
    status = Path("/proc/self/statm")
    if status.exists():  # elsewhere the time limit alone holds
        held = int(status.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (held + size, hard))
