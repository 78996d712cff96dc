"""The rules of the house that neither ruff nor import-linter can see."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import agent_system

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "agent_system"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 350
# Nothing but the classes of one tree, which its docstring draws: it is looked things up in, not read.
LONGER_MODULES = {"agent_system/errors.py": 500}

ENGINE_NAMES = {"sqlite", "postgresql", "postgres"}
# Where the two engines may differ, and the two modules that read the URL which chooses one of them.
KNOWS_ENGINES = (
    PACKAGE / "database" / "dialects",
    PACKAGE / "search",
    PACKAGE / "database" / "engine.py",
    PACKAGE / "settings.py",
)
DRIVER = PACKAGE / "database" / "driver.py"
# It maps SQLite's own descriptor by libc, which opens and closes nothing.
WAL_INDEX = PACKAGE / "database" / "wal_index.py"
# It reads the kernel's list of mounts, no file of a database.
MOUNTS = PACKAGE / "database" / "mounts.py"
# It reads the kernel's list of locks and names of processes.
LOCK_HOLDERS = PACKAGE / "database" / "lock_holders.py"
# It opens only files that it has made itself, and refuses to put one in the place of the database's.
TEXT_FILES = PACKAGE / "managers" / "core" / "text_files.py"
DRIVER_MODULES = {"sqlite3", "pysqlite3"}

# Closing any descriptor of a database file drops SQLite's locks in this process, whoever opened it.
OPENING_CALLS = {
    "copy", "copy2", "copyfile", "copyfileobj", "file_digest", "fdopen", "mmap", "move", "read_bytes", "read_text",
    "sendfile", "write_bytes", "write_text",
}  # fmt: skip
FILE_ROOMS = [PACKAGE / "database", PACKAGE / "managers", PACKAGE / "search", PACKAGE / "doctor"]

STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|MERGE|WITH)\s")


def test_alembic_folder_does_not_hide_the_library() -> None:
    assert not list((ROOT / "alembic").rglob("__init__.py"))


def test_packages_hold_no_code() -> None:
    allowed = (ast.Import, ast.ImportFrom)
    assert not [
        place(path, node)
        for path in MODULES
        if path.name == "__init__.py"
        for node in tree(path).body
        if not (isinstance(node, allowed) or is_docstring(node) or is_all(node))
    ]


def test_packages_list_every_name_that_they_export() -> None:
    for path in MODULES:
        if path.name == "__init__.py":
            imported = {name.asname or name.name for node in imports(path) for name in node.names} - {"annotations"}
            exported = [ast.literal_eval(node.value) for node in tree(path).body if is_all(node)]
            assert imported == set(exported[0] if exported else ()), relative(path)


def test_public_names_are_complete_and_sorted() -> None:
    public = {
        name
        for name, value in vars(agent_system).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    exported = getattr(agent_system, "__all__", [])
    assert exported == sorted(exported)
    assert public == set(exported)


def test_no_module_is_too_long() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {path: lines for path, lines in lengths.items() if lines > LONGER_MODULES.get(path, LONGEST_MODULE)}


def test_only_the_dialects_ask_which_engine_it_is() -> None:
    assert not [
        place(path, node)
        for path in MODULES
        if not any(path.is_relative_to(room) for room in KNOWS_ENGINES)
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.Compare, ast.Match)) and asks_for_engine(node)
    ]


def test_only_the_driver_module_loads_a_sqlite_library() -> None:
    assert not [
        place(path, node)
        for path in MODULES
        if path != DRIVER
        for node in imports(path, at_run_time=True)
        if DRIVER_MODULES & imported_modules(node)
    ]


def test_only_the_driver_module_opens_files_beside_the_database() -> None:
    assert not [
        place(path, node)
        for room in FILE_ROOMS
        for path in sorted(room.rglob("*.py"))
        if path not in {DRIVER, LOCK_HOLDERS, MOUNTS, TEXT_FILES, WAL_INDEX}
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and opens_a_file(node)
    ]


def test_no_statement_is_built_from_values() -> None:
    assert not [place(path, node) for path in MODULES for node in ast.walk(tree(path)) if is_built_statement(node)], (
        "bind the value, or make the statement with SQLAlchemy; a constant in capitals may be a part of it"
    )


def test_no_module_imports_its_names_from_the_package_above_it() -> None:
    assert not [
        place(path, node)
        for path in MODULES
        for node in imports(path)
        if isinstance(node, ast.ImportFrom) and node.module == "agent_system"
        if {name.name for name in node.names} & set(getattr(agent_system, "__all__", ()))
    ]


def test_revisions_import_nothing_that_can_change() -> None:
    assert not [
        place(path, node)
        for path in sorted((ROOT / "alembic" / "versions").glob("*.py"))
        for node in imports(path)
        if any(name.split(".")[0] == "agent_system" for name in imported_modules(node))
    ]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def place(path: Path, node: ast.AST) -> str:
    return f"{relative(path)}:{getattr(node, 'lineno', 0)}"


def imports(path: Path, *, at_run_time: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports of a module, with `at_run_time` without those that are there for the type checker."""
    for_types = {
        child
        for node in ast.walk(tree(path))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for child in ast.walk(statement)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not (at_run_time and node in for_types):
            yield node


def imported_modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        return {node.module or ""}
    return {name.name for name in node.names}


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def asks_for_engine(node: ast.Compare | ast.Match) -> bool:
    sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.subject, *node.cases]
    constants = {part.value for side in sides for part in ast.walk(side) if isinstance(part, ast.Constant)}
    return bool(constants & ENGINE_NAMES)


def opens_a_file(node: ast.Call) -> bool:
    function = node.func
    if isinstance(function, ast.Name):
        return function.id == "open"
    if not isinstance(function, ast.Attribute):
        return False
    # `backend.open()` of ours takes no mode, a file's `open` does.
    return function.attr in OPENING_CALLS or (function.attr == "open" and bool(node.args or node.keywords))


def is_built_statement(node: ast.AST) -> bool:
    """Tell whether SQL that reads or writes rows is put together from anything but constants."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return starts_statement(node.values[0]) and not all(is_constant_name(part) for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.Add)):
        return starts_statement(node.left) and not is_constant_name(node.right)
    is_format = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
    return is_format and starts_statement(node.func.value)


def starts_statement(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(STATEMENT.match(node.value))


def is_constant_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())
