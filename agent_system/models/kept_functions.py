"""Functions that one engine lacks."""

from agent_system.models.base import metadata
from agent_system.models.triggers import DatabaseKept, keep_in_database

__all__ = ["keep_functions"]

# https://www.rfc-editor.org/rfc/rfc7396#section-2, over `json`, whose texts and order of keys stay as they are; a value
# that the patch does not name is not looked into.
MERGE_PATCH = """
CREATE FUNCTION json_merge_patch(target json, patch json) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF json_typeof(patch) <> 'object' THEN
    RETURN patch;
  END IF;
  IF target IS NULL OR json_typeof(target) <> 'object' THEN
    target := '{}';
  END IF;
  RETURN (
    SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value::text, ',' ORDER BY part, place), '') || '}'
    FROM (
      SELECT 1 AS part, t.place, t.key,
        CASE WHEN p.key IS NULL THEN t.value ELSE json_merge_patch(t.value, p.value) END AS value
      FROM json_each(target) WITH ORDINALITY AS t(key, value, place)
      LEFT JOIN json_each(patch) AS p(key, value) ON p.key = t.key
      WHERE p.key IS NULL OR json_typeof(p.value) <> 'null'
      UNION ALL
      SELECT 2, p.place, p.key, json_merge_patch(NULL, p.value)
      FROM json_each(patch) WITH ORDINALITY AS p(key, value, place)
      WHERE json_typeof(p.value) <> 'null' AND NOT EXISTS (SELECT 1 FROM json_object_keys(target) AS k WHERE k = p.key)
    ) AS items
  )::json;
END $$
"""


def keep_functions() -> None:
    """Let the database have them whenever all tables are made."""
    keep_in_database(
        metadata,
        postgresql=DatabaseKept(create=(MERGE_PATCH,), drop=("DROP FUNCTION IF EXISTS json_merge_patch(json, json)",)),
    )
