"""Databases of older systems, brought over row by row: `import_legacy` takes a file, a description says what is in it.

A system is one `System` (`description.py`): its tables in the order in which they are imported, what others refer to
first. A `Table` says which table there becomes which one here:

- `source`, `target`: the table there, and the facade's attribute (or the class) here; `needs`: columns that tell it
  from a table of the same name in another system. Any other column may be missing: it reads as NULL.
- `columns`: for each column here a converter (`converters.py`): `text`, `integer`, `count`, `number`, `flag`, `moment`,
  `future`, `word` (an enumeration), `json_value`, `json_object`, `json_list`, `texts`, `nano_dollars`, `reference`,
  `required`, `constant`, `OWN_ID`, or any function of a `SourceRow`. A converter that mends a value says so by
  `row.mend(column, what)`, which also keeps the value in the row's metadata; `row.reject(why)` gives the row up.
- `identity`: the columns by which a row is known again in this file or in another one. `key`: the columns that
  `reference(column, table)` of other tables finds it by; the second one and the next are asked for as `table.column`.
- `conflicts`: what is done where something must be unique: `Merge`, `Suffix`, `Abandon`, `Attempts`, in this order.
- `links`: references of a table to itself, set when the table is complete. `expand` (`items.py`): several rows out of
  one, such as the items of a JSON list. `only`: the rows that a description is for.

A sixth system is a module in `systems/` and a line in `systems/known.py`. How it works: `source.py` copies the file,
`tables.py` reads pages of it, `understanding.py` converts them in a thread, `pages.py` writes each page with its
entries in the books (`managers/imports/book.py`) in one unit of work, `linking.py` sets the links, `report.py` counts,
and `engine.py` holds them together. Where rows there are here is kept on disk (`references.py`): memory does not grow.
"""

from __future__ import annotations

from agent_system.importers.legacy.report import FileReport, Reason, TableReport
from agent_system.importers.legacy.running import import_legacy

__all__ = ["FileReport", "Reason", "TableReport", "import_legacy"]
