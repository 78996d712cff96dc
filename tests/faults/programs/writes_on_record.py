"""Writes in all ways while the shim records, marks every acknowledgement in the record, and ends without closing."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import os
import sys

from tests.faults.shim import Orders
from tests.faults.writers import write_in_all_ways


async def main(path: str, durability: str, most: int) -> None:
    orders, titles, done = Orders(), list[str](), asyncio.Event()

    def acknowledge(title: str) -> None:
        orders.mark(len(titles))
        titles.append(title)
        if len(titles) >= most:
            done.set()

    # Few pages in the log: every run meets several checkpoints.
    writing = asyncio.create_task(
        write_in_all_ways(path, "recorded", acknowledge, durability=durability, checkpoint_pages=30)
    )
    await asyncio.wait([writing, asyncio.create_task(done.wait())], return_when=asyncio.FIRST_COMPLETED)
    if writing.done():
        writing.result()
    print(json.dumps(titles), flush=True)
    # To close would write the log into the file, and the power does not wait for that.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
