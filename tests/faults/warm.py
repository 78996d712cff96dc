"""What a process does before others are forked off it, so that none of them has to: 0.3 s each."""

from __future__ import annotations

from sqlalchemy.orm import configure_mappers

import tests.faults.counting
import tests.faults.migrating
import tests.faults.writers  # noqa: F401 (with everything that it imports)

configure_mappers()
