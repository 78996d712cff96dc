"""Which file system a path is on: SQLite's write-ahead log needs shared memory, which network file systems lack.

https://sqlite.org/wal.html: "All processes using a database must be on the same host computer; WAL does not work over
a network filesystem."
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NETWORK_FILE_SYSTEMS", "Mount", "mount_of"]

MOUNTS = "/proc/self/mountinfo"
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "fuse.sshfs", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"ocfs2", "smb2", "smb3", "smbfs", "virtiofs"}
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system."""

    point: Path
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether other machines may have it mounted too."""
        return self.kind in NETWORK_FILE_SYSTEMS or self.kind.removeprefix("fuse.") in NETWORK_FILE_SYSTEMS


def mount_of(path: Path, listing: str | None = None) -> Mount | None:
    """Return the mount that a path lies on; None where the system does not tell.

    Args:
        path: It need not be there.
        listing: The text of /proc/self/mountinfo (`man 5 proc`); None reads it.
    """
    if listing is None:
        try:
            listing = Path(MOUNTS).read_text(errors="surrogateescape")
        except OSError:
            return None
    resolved = path.resolve()
    found: Mount | None = None
    for line in listing.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields.split()[4]))
        # The last of several on one point is the one that is seen.
        if resolved.is_relative_to(point) and (found is None or len(point.parts) >= len(found.point.parts)):
            found = Mount(point, rest.split()[0])
    return found
