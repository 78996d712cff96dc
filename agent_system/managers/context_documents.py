"""Context documents: what agents read, with every version of the content."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import ContextDocument

__all__ = ["ContextDocumentManager"]


class ContextDocumentManager(Manager[ContextDocument]):
    """Context documents: what agents read, with every version of the content."""

    entity = ContextDocument
    audited = "document"
