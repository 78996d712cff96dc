"""Payloads: what they may be, and the models that some types check them by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import BaseModel

from agent_system.errors import ValidationError
from agent_system.models.codec import encode_json

if TYPE_CHECKING:
    from agent_system.models import Job

__all__ = ["MOST_PAYLOAD_BYTES", "PayloadModels"]

MOST_PAYLOAD_BYTES = 1_048_576
"""Largest payload, as JSON: what is larger belongs into a file or a message that the payload names."""


class PayloadModels:
    """Knows the pydantic models by which the payloads of some types are checked."""

    def __init__(self) -> None:
        self._models: dict[str, type[BaseModel]] = {}

    def register(self, task_type: str, model: type[BaseModel]) -> None:
        """Check the payloads of a type by a model."""
        self._models[task_type] = model

    def dump(self, task_type: str, payload: Any) -> Any:
        """A payload as JSON, of an instance of its type's model too; None is an empty object. `check_size` looks on.

        Raises:
            ValidationError: Its type's model refuses it.
        """
        # A type that is no text is refused with the other columns.
        model = self._models.get(task_type) if self._models and isinstance(task_type, str) else None
        if isinstance(payload, BaseModel) and (model is None or isinstance(payload, model)):
            payload = payload.model_dump(mode="json")
        elif model is not None:
            payload = _checked(model, {} if payload is None else payload).model_dump(mode="json")
        return {} if payload is None else payload

    def load(self, job: Job) -> Any:
        """The payload of a job as an instance of its type's model, or as JSON where there is none.

        Raises:
            ValidationError: The model refuses it.
        """
        model = self._models.get(job.task_type)
        return job.payload if model is None else _checked(model, job.payload)

    def check_size(self, payload: Any) -> None:
        """Refuse what is no JSON or too large.

        Raises:
            ValidationError: It is.
        """
        try:
            encoded = encode_json(payload)
        except (ValueError, TypeError, RecursionError) as exc:
            message = f"queue.payload: {exc}"
            raise ValidationError(message, field="payload", entity="queue") from None
        self.check_encoded(encoded)

    def check_encoded(self, payload: str | None) -> None:
        """Refuse what is too large, as JSON; None is an empty object.

        Raises:
            ValidationError: It is.
        """
        size = 0 if payload is None else len(payload)
        if size > MOST_PAYLOAD_BYTES:
            message = f"queue.payload: {size:,} bytes as JSON; the most is {MOST_PAYLOAD_BYTES:,}"
            raise ValidationError(message, field="payload", entity="queue")


def _checked(model: type[BaseModel], payload: Any) -> BaseModel:
    try:
        return model.model_validate(payload)
    except pydantic.ValidationError as exc:
        problems = exc.errors(include_url=False, include_context=False, include_input=False)
        lines = [".".join(("payload", *map(str, one["loc"]))) + f": {one['msg']}" for one in problems]
        message = f"queue.{'; queue.'.join(lines)}"
        raise ValidationError(message, field="payload", entity="queue") from None
