"""Encoding of new rows: most columns of most rows hold their default, which is encoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_system.database.plans import Plan

__all__ = ["RowEncoder"]

_MISSING: Any = object()


class RowEncoder:
    """Turns complete attribute values into the parameters of an insert."""

    def __init__(self, plan: Plan, constants: Mapping[str, Any]) -> None:
        self.plan = plan
        self.positions = {key: position for position, key in enumerate(plan.parameters)}
        self._spec = [
            (key, constants.get(key, _MISSING), _encoded(processor, constants.get(key)), processor)
            for key, processor in zip(plan.parameters, plan.processors, strict=True)
        ]

    def encode(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters in the order of the plan; a value that is the column's own default object costs a look."""
        return [
            encoded
            if (value := values[key]) is constant
            else value
            if value is None or process is None
            else process(value)
            for key, constant, encoded, process in self._spec
        ]


def _encoded(process: Any, constant: Any) -> Any:
    return constant if constant is None or process is None else process(constant)
