"""`agent-system search`: what is remembered and was said, found by its words and shown with them marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import cell, console, empty_table, moment, one_line, print_json
from agent_system.errors import ValidationError
from agent_system.search.embedding.hashing import HashingEmbedder
from agent_system.search.embedding.minilm import MiniLmEmbedder
from agent_system.search.embedding.wordllama import WordLlamaEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_system.cli.context import Options
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.hits import Hit, Hits
    from agent_system.search.snippets import Snippet

__all__ = ["EMBEDDERS", "KINDS", "search"]

KINDS: Mapping[str, str] = {"memories": "memories", "messages": "messages", "documents": "context_documents"}
"""What can be searched, and the manager that does it."""
EMBEDDERS: Mapping[str, Callable[[], Embedder]] = {
    "wordllama": WordLlamaEmbedder,
    "minilm": MiniLmEmbedder,
    "hashing": HashingEmbedder,
}
"""The embedders that need no service."""


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help='Words, "phrases", AND, OR, NOT and beginnings*; anything is a query.')],
    *,
    kind: Annotated[str, typer.Option("--in", help=f"Search {', '.join(KINDS)}.")] = "memories",
    user: Annotated[str | None, typer.Option(help="Only of this person: an identity, or the id of a user.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; may be given again.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many hits.")] = 10,
    mode: Annotated[str, typer.Option(help="text, vector, hybrid, or auto for the best there is.")] = "auto",
    embedder: Annotated[
        str | None, typer.Option(help=f"Search vectors of this model, too: {', '.join(EMBEDDERS)}.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, texts in full.")] = False,
) -> None:
    """Find memories, messages or documents by what they say, the best first, with the words that were found marked."""
    filters: dict[str, Any] = {"user_id": user, "tags": tag or None}
    given = {name: value for name, value in filters.items() if value is not None}
    hits = await_(_search(options_of(context), kind, text, embedder, {"limit": limit, "mode": mode, **given}))
    if as_json:
        print_json([_as_dict(hit) for hit in hits])
        return
    made = empty_table(f"{len(hits)} {kind}")
    for name in ("id", "score", "found by", "when (UTC)"):
        made.add_column(name, justify="right" if name in {"id", "score"} else "left", no_wrap=True)
    made.add_column("text", overflow="fold")
    for hit in hits:
        found_by = " + ".join(hit.found_by)
        when = getattr(hit.item, "timestamp", None) or hit.item.created_at
        made.add_row(cell(hit.item.id), f"{hit.score:.3f}", found_by, moment(when), marked(hit.snippet))
    console().print(made)


async def _search(options: Options, kind: str, text: str, embedder: str | None, asked: Mapping[str, Any]) -> Hits[Any]:
    for name, known, field in ((kind, KINDS, "in"), (embedder, EMBEDDERS, "embedder")):
        if name is not None and name not in known:
            message = f"there is no {name!r} to choose; there are: {', '.join(known)}"
            raise ValidationError(message, field=field)
    used = None if embedder is None else EMBEDDERS[embedder]()
    async with facade(options, auto_migrate=False) as em:
        hits: Hits[Any] = await getattr(em, KINDS[kind]).search(text, embedder=used, **asked)
        return hits


def marked(snippet: Snippet) -> Text:
    """A snippet as one line with what was found in bold; what a terminal would obey is escaped."""
    made = Text()
    end = 0
    for start, stop in snippet.spans:
        made.append(_part(snippet.text[end:start])).append(_part(snippet.text[start:stop]), style="bold yellow")
        end = stop
    return made.append(_part(snippet.text[end:]))


def _part(text: str) -> str:
    """A part of a line, whose blanks at its ends are kept."""
    inner = one_line(text)
    if not inner:
        return " " if text else ""
    return (" " if text[0].isspace() else "") + inner + (" " if text[-1].isspace() else "")


def _as_dict(hit: Hit[Any]) -> dict[str, Any]:
    return {
        "id": hit.item.id,
        "score": hit.score,
        "parts": dict(hit.parts),
        "found_by": list(hit.found_by),
        "snippet": hit.snippet.text,
        "spans": [list(span) for span in hit.snippet.spans],
        "item": hit.item.model_dump(),
    }
