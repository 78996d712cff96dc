"""What the rows and columns of a table class look like to pydantic, from the annotations of the class."""

from __future__ import annotations

import types
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, Required, Union, get_args, get_origin
from uuid import UUID

import pydantic
from pydantic import AwareDatetime, ConfigDict, FiniteFloat, InstanceOf, Strict, TypeAdapter
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlmodel import SQLModel

__all__ = ["is_automatic", "is_required", "make_column_adapter", "make_row_adapter"]

# What fits into a BIGINT and into SQLite's INTEGER.
Int64 = Annotated[int, Strict(), pydantic.Field(ge=-(2**63), le=2**63 - 1)]
# The keys are not looked at: pydantic would refuse lone surrogates, the codec stores them.
_Mapping: Any = InstanceOf[dict]  # type: ignore[type-arg]  # a type at run time, which has no arguments


# A facade for each request, bound to its user, makes its managers anew: three of these for a table take 40 ms.
@lru_cache(1_000)
def make_row_adapter(
    entity: type[SQLModel], purpose: str, keys: tuple[str, ...], automatic: frozenset[str], *, partial: bool, key: bool
) -> TypeAdapter[dict[str, Any]]:
    """What checks a row.

    Args:
        entity: The table class.
        purpose: What the shape is called in errors.
        keys: The attributes that may be given.
        automatic: Those of them that the database makes when they are not.
        partial: Whether none of them has to be given.
        key: Whether they are a key, of which nothing may be null.
    """
    annotations: dict[str, Any] = {}
    for name in keys:
        field = entity.model_fields[name]
        annotation = _strict(_present(field.annotation) if key else field.annotation, list(field.metadata))
        required = key or not (partial or not field.is_required() or name in automatic)
        annotations[name] = Required[annotation] if required else NotRequired[annotation]
    make_shape: Any = TypedDict
    shape: Any = make_shape(f"{entity.__name__}{purpose}", annotations)
    shape.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
    return TypeAdapter(shape)


@lru_cache(1_000)
def make_column_adapter(entity: type[SQLModel], name: str) -> TypeAdapter[list[Any]]:
    """What checks the values of one column of many rows."""
    field = entity.model_fields[name]
    column: Any = types.GenericAlias(list, (_strict(field.annotation, list(field.metadata)),))
    return TypeAdapter(column, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


def is_required(entity: type[SQLModel], name: str, column: Column[Any]) -> bool:
    """Whether a new row has to be given the value."""
    return entity.model_fields[name].is_required() and not is_automatic(column)


def is_automatic(column: Column[Any]) -> bool:
    """Whether the database makes the value: an integer key."""
    return bool(column.primary_key and column.type.python_type is int and not column.foreign_keys)


def _present(annotation: Any) -> Any:
    """The annotation without None."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return parts[0] if get_origin(annotation) in {Union, types.UnionType} and len(parts) == 1 else annotation


def _strict(annotation: Any, metadata: list[Any]) -> Any:
    """The annotation of a column, made strict where pydantic would convert and lax where it would insist on objects."""
    checked = _strict_type(annotation)
    limits = tuple(item for item in metadata if item is not None)
    return Annotated[checked, *limits] if limits else checked


def _strict_type(annotation: Any) -> Any:  # noqa: PLR0911 (one line per kind of type)
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        return Union[tuple(_strict_type(part) for part in get_args(annotation))]  # noqa: UP007 (made at run time)
    if origin is list:
        return types.GenericAlias(list, (_strict_type(get_args(annotation)[0]),))
    if origin is dict:
        return _Mapping
    if origin is Annotated:
        return _strict(get_args(annotation)[0], list(get_args(annotation)[1:]))
    if not isinstance(annotation, type) or annotation is bool:
        return annotation
    if issubclass(annotation, (UUID, Enum)):
        return Annotated[annotation, Strict(strict=False)]
    return _SCALARS.get(annotation, annotation)


_SCALARS: dict[Any, Any] = {
    int: Int64,
    float: FiniteFloat,
    str: InstanceOf[str],
    datetime: AwareDatetime,
    dict: _Mapping,
}
