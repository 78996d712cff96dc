"""The header of SQLite's WAL index: 48 bytes of shared memory that change with every commit of any process.

The format stands in https://sqlite.org/walformat.html (section 2.1): a change counter at offset 8, raised by one with
every commit, the number of frames, salts, and a checksum over all of it. The whole copy is compared, because recovery
resets the counter alone.

The file must not be opened here: closing any descriptor of it would drop the locks that SQLite holds in this process.
So SQLite's own descriptor is found under /proc and mapped by libc; where that is not possible there is no header, and
whoever wanted it does without.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["WalIndex", "descriptor_of", "follows"]

HEADER_BYTES = 48
# The 32-bit counter `iChange`, in the byte order of the machine.
COUNTER = slice(8, 12)
# The 32-bit number of the last frame that is committed, `mxFrame`; it begins anew when the log does.
FRAMES = slice(16, 20)
_MAP_FAILED = ctypes.c_void_p(-1).value
_DESCRIPTORS = Path("/proc/self/fd")


def _load_libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_longlong,
    ]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


_libc = _load_libc()


class WalIndex:
    """A read-only view of the header of one database's WAL index."""

    def __init__(self, address: int) -> None:
        self._address = address
        self._bytes = (ctypes.c_char * HEADER_BYTES).from_address(address)

    @classmethod
    def of(cls, database: str) -> WalIndex | None:
        """Map the WAL index of a database that is open in WAL mode in this process; None where that cannot be done."""
        descriptor = descriptor_of(f"{os.path.realpath(database)}-shm")
        if descriptor is None:
            return None
        address = _libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        return None if address in {None, _MAP_FAILED} else cls(address)

    def header(self) -> bytes:
        """The header as it is now; two equal ones mean that nothing was committed in between."""
        return self._bytes.raw

    def frames(self) -> int:
        """How many pages were committed to the log since it was begun anew."""
        return int.from_bytes(self._bytes.raw[FRAMES], sys.byteorder)

    def close(self) -> None:
        """Give the mapping back; who still asks gets a header that no file has."""
        if self._address:
            self._bytes = (ctypes.c_char * HEADER_BYTES)()
            _libc.munmap(self._address, mmap.PAGESIZE)
            self._address = 0


def follows(before: bytes, after: bytes) -> bool:
    """Tell whether exactly one commit lies between two headers."""
    return int.from_bytes(after[COUNTER], sys.byteorder) == int.from_bytes(before[COUNTER], sys.byteorder) + 1


def descriptor_of(path: str) -> int | None:
    """The number of a descriptor by which this process has a file open already; None where nobody can tell."""
    if not _DESCRIPTORS.is_dir():
        return None
    for link in list(_DESCRIPTORS.iterdir()):
        # The descriptor of the listing itself is closed by now.
        with suppress(OSError):
            if str(link.readlink()) == path:
                return int(link.name)
    return None
