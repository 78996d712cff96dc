"""When a job that failed is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RetryPolicy"]

# 2.0 to this power is more seconds than any limit; a job may have been retried more often.
HIGHEST_POWER = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter.

    The wait before the n-th retry is anything between nothing and `first_seconds * factor ** (n - 1)`, but never more
    than `limit_seconds`: of the ways that "Exponential Backoff And Jitter" compares
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) the one that does the least work.
    """

    first_seconds: float = 1.0
    """Longest wait before the first retry."""
    factor: float = 2.0
    """How much longer each following wait may be."""
    limit_seconds: float = 3_600.0
    """Longest wait of all."""
    random: Callable[[], float] = random.random
    """Where chance comes from: numbers from 0 to 1."""

    def delay_seconds(self, retries: int) -> float:
        """How long to wait before the next attempt.

        Args:
            retries: How many retries there have been.
        """
        longest = self.first_seconds * self.factor ** min(retries, HIGHEST_POWER)
        return self.random() * min(longest, self.limit_seconds)
