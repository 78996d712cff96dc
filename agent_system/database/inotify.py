"""Linux tells when a file in a folder is written or touched: inotify(7), by way of the C library.

Nothing here opens the files that are watched: closing a descriptor of a database file would drop SQLite's locks.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress

__all__ = ["FolderEvents"]

# <sys/inotify.h>
IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_Q_OVERFLOW = 0x4000
# struct inotify_event: watch, mask, cookie, length of the name that follows.
_HEADER = struct.Struct("iIII")
_BUFFER_BYTES = 65_536


class FolderEvents:
    """Reports that files of a folder were written, touched or made."""

    def __init__(self, descriptor: int, name: bytes) -> None:
        self._descriptor = descriptor
        self._name = name

    @classmethod
    def of(cls, folder: str, name: str) -> FolderEvents | None:
        """Watch a folder for the file of this name; None where that cannot be done."""
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:
            return None
        if descriptor < 0:
            return None
        path = os.fsencode(folder)
        if (
            libc.inotify_add_watch(descriptor, ctypes.c_char_p(path), IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_MOVED_TO)
            < 0
        ):
            os.close(descriptor)
            return None
        return cls(descriptor, os.fsencode(name))

    def fileno(self) -> int:
        """What an event loop waits for."""
        return self._descriptor

    def drain(self) -> bool:
        """Take the events that are there; whether one concerned the file."""
        is_ours = False
        with suppress(BlockingIOError):
            while True:
                events = os.read(self._descriptor, _BUFFER_BYTES)
                is_ours = self._concerns(events) or is_ours
        return is_ours

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._descriptor)

    def _concerns(self, events: bytes) -> bool:
        position = 0
        while position < len(events):
            _watch, mask, _cookie, length = _HEADER.unpack_from(events, position)
            position += _HEADER.size
            name = events[position : position + length].rstrip(b"\0")
            position += length
            if name == self._name or mask & IN_Q_OVERFLOW:
                return True
        return False
