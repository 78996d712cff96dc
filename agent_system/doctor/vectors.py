"""How vectors are searched: where there are too many to compare them all, and what could be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.doctor.findings import Finding, Severity
from agent_system.entity_manager import EntityManager
from agent_system.managers.core.vector_memory import Way
from agent_system.search.vector_indexes import vector_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_system.doctor.patient import Patient

__all__ = ["check_vectors"]

BUILD = "agent-system vectors index"
MORE_MEMORY = "a larger AGENT_SYSTEM_SEARCH_MEMORY_MIB"


async def check_vectors(patient: Patient) -> Iterator[Finding]:
    """Find vectors that could be searched faster, and indexes of them that were left half done."""
    indexes = vector_indexes(patient.db.dialect.name)
    is_offered = await patient.db.read(indexes.is_offered)
    found = []
    for model in await EntityManager(patient.db).embeddings.coverage():
        may_have_index = is_offered and model.dimensions <= indexes.most_dimensions
        for table, way in model.ways.items():
            said = f"{model.vectors[table]:,} vectors of {table} in {model.model}"
            if way is Way.PARTS:
                message = f"{said} are read from the database for every search: there is no memory for their signs"
                advice = BUILD if may_have_index else MORE_MEMORY
                found.append(Finding(check="vectors", severity=Severity.WARNING, message=message, advice=advice))
            elif way is Way.SIGNS and may_have_index:
                message = f"{said} are searched by their signs in memory; this server could keep an index of them"
                found.append(Finding(check="vectors", severity=Severity.INFO, message=message, advice=BUILD))
    for index in await patient.db.read(indexes.listed):
        if not index.is_sound:
            message = f"{index.name} is being built, or was left half done and slows writing down"
            found.append(Finding(check="vectors", severity=Severity.INFO, message=message, advice=BUILD))
    return iter(found)
