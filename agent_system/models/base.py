"""The metadata, its naming convention, and the base of every table class."""

from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

__all__ = ["NAMING_CONVENTION", "TableModel", "metadata"]

# Without names SQLite cannot drop a constraint in a downgrade; `idx_` is the style of the seeds.
NAMING_CONVENTION = {
    "ix": "idx_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING_CONVENTION)


class TableModel(SQLModel, registry=registry(metadata=metadata)):
    """Base of every table class.

    It has a registry of its own: a program may have SQLModel classes called `User` or `Task` besides ours. No relation
    loads by attribute access (`lazy="raise"`); a manager fills the ones that were asked for.
    """

    def __getstate__(self) -> dict[Any, Any]:
        """What is pickled: a row that was read takes its state along, which is made when somebody asks for it."""
        getattr(self, "_sa_instance_state", None)
        return super().__getstate__()
