"""The data layer that async AI-agent runtimes await.

```python
from agent_system import DatabaseManager, EntityManager

async with DatabaseManager("./data/system.db") as db:      # or a postgresql:// URL
    em = EntityManager(db)
    agent = await em.agents.create({"name": "researcher", "instruction": "...", "capabilities": ["web_search"]})
    async with db.transaction():                           # all or nothing
        task = await em.tasks.create({"agent_id": agent.id, "instruction": "..."})
        await em.tasks.update(task.id, {"status": "running"})
```

Read next: `agent_system.models` (the tables), `entity_manager.py` (what can be asked), `database/manager.py` (how it is
carried out).
"""

from agent_system.database.connection import get_database_connection
from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import AgentSystemError
from agent_system.managers.core.pagination import Page
from agent_system.managers.ledger.usage import Usage
from agent_system.settings import DatabaseSettings, Durability

__all__ = [
    "AgentSystemError",
    "DatabaseManager",
    "DatabaseSettings",
    "Durability",
    "EntityManager",
    "Page",
    "Usage",
    "get_database_connection",
]
