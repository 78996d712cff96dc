"""Rows for our tables, checked and completed column by column as their managers do row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_system.errors import ValidationError
from agent_system.importers.legacy.targets import Target
from tests import requirements as requires

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager


@requires.database_file
async def test_many_rows_are_checked_and_completed_as_each_of_them(em: EntityManager) -> None:
    for name, row in (("messages", {"role": "user", "content": "olives"}), ("projects", {"name": "ÄÖ"})):
        validator = Target(em, name).validator
        one = validator.create_values(row)
        columns = validator.create_columns({key: [value, value] for key, value in row.items()}, 2)
        assert columns.keys() == one.keys()
        made = {"id", "uid", "created_at", "updated_at"}
        assert {key: values[1] for key, values in columns.items() if key not in made} == {
            key: value for key, value in one.items() if key not in made
        }
    with pytest.raises(ValidationError, match=r"projects\.name"):
        validator.create_columns({"name": ["x", 7]}, 2)
    with pytest.raises(ValidationError, match=r"projects\.name: is required"):
        validator.create_columns({"description": ["x"]}, 1)
