"""Values between the compiler and its worker processes, over sockets: pickles, large buffers beside them."""

from __future__ import annotations

import pickle
import struct
from io import BufferedRWPair
from typing import IO, Any

Stream = IO[bytes] | BufferedRWPair
NUMBER = struct.Struct("<Q")


def write(stream: Stream, value: object) -> None:
    """Send a value; raises OSError where nobody reads any more."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    stream.write(NUMBER.pack(len(parts)) + b"".join(NUMBER.pack(part.nbytes) for part in parts))
    for part in parts:
        stream.write(part)
    stream.flush()


def read(stream: Stream) -> Any:
    """The next value; raises EOFError where the other side has ended."""
    count = _number(stream)
    sizes = [_number(stream) for _ in range(count)]
    body, *buffers = [_exactly(stream, size) for size in sizes]
    return pickle.loads(body, buffers=buffers)  # noqa: S301 - from a process of our own


def _number(stream: Stream) -> int:
    return int(NUMBER.unpack(_exactly(stream, NUMBER.size))[0])


def _exactly(stream: Stream, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise EOFError
    return found
