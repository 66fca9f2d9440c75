"""Triggers of the clip database: what a script of the seed writes into ``clips`` becomes rows of the other tables.

A rating that is written into ``clips.rating`` becomes a row of ``ratings``, by the rater ``clips.db``; a clip that is
deleted goes to ``removed_clips`` with all that was said of it. While this package writes itself, it says so in a way
that ends with its transaction, and the triggers for ratings stay quiet.
"""

from __future__ import annotations

from cliplab.clips.schema import OWN_WRITER

RATER_OF_SCRIPTS = "clips.db"
TRIGGERS = ("clips_added_rated", "clips_rated", "clips_removed")

_NOW_SQLITE = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
_NOT_OURS_SQLITE = f"NOT EXISTS (SELECT 1 FROM facts WHERE name = '{OWN_WRITER}')"


def _row_sqlite(rated_at: str) -> str:
    return f"""
BEGIN
  SELECT RAISE(ABORT, 'rating must be an integer from 1 to 5, or NULL')
  WHERE NEW.rating IS NOT NULL AND (typeof(NEW.rating) <> 'integer' OR NEW.rating NOT BETWEEN 1 AND 5);
  INSERT INTO ratings (clip_id, rater, stars, rated_at)
  VALUES (NEW.id, '{RATER_OF_SCRIPTS}', NEW.rating, COALESCE({rated_at}, {_NOW_SQLITE}));
END"""


# A script that writes the rating alone leaves the time of an earlier one.
_RATED_AT = "NULLIF(NEW.rated_at, COALESCE(OLD.rated_at, ''))"
SQLITE = (
    f"""CREATE TRIGGER clips_rated AFTER UPDATE OF rating ON clips
WHEN NEW.rating IS NOT OLD.rating AND {_NOT_OURS_SQLITE}{_row_sqlite(_RATED_AT)}""",
    f"""CREATE TRIGGER clips_added_rated AFTER INSERT ON clips
WHEN NEW.rating IS NOT NULL AND {_NOT_OURS_SQLITE}{_row_sqlite("NEW.rated_at")}""",
    f"""CREATE TRIGGER clips_removed AFTER DELETE ON clips
BEGIN
  INSERT INTO removed_clips (removed_at, content) VALUES ({_NOW_SQLITE}, json_object(
    'clip', json_object('id', OLD.id, 'filename', OLD.filename, 'filepath', OLD.filepath,
      'start_time', OLD.start_time, 'end_time', OLD.end_time, 'duration', OLD.duration, 'score', OLD.score,
      'clip_type', OLD.clip_type, 'features', OLD.features, 'rating', OLD.rating, 'created_at', OLD.created_at,
      'rated_at', OLD.rated_at, 'source_url', OLD.source_url),
    'ratings', (SELECT json_group_array(json_object('rater', rater, 'stars', stars, 'confidence', confidence,
      'rated_at', rated_at)) FROM ratings WHERE clip_id = OLD.id),
    'tags', (SELECT json_group_array(tag) FROM tags WHERE clip_id = OLD.id),
    'comparisons', (SELECT json_group_array(json_object('better_id', better_id, 'worse_id', worse_id,
      'rater', rater, 'compared_at', compared_at)) FROM comparisons WHERE OLD.id IN (better_id, worse_id))));
  DELETE FROM ratings WHERE clip_id = OLD.id;
  DELETE FROM tags WHERE clip_id = OLD.id;
  DELETE FROM clip_sources WHERE clip_id = OLD.id;
  DELETE FROM comparisons WHERE OLD.id IN (better_id, worse_id);
END""",
)

_NOW_POSTGRES = """to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
_NOT_OURS_POSTGRES = f"COALESCE(current_setting('cliplab.{OWN_WRITER}', true), '') <> '1'"

POSTGRES = (
    f"""CREATE FUNCTION clips_rated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.rating IS NOT NULL AND NEW.rating NOT BETWEEN 1 AND 5 THEN
    RAISE EXCEPTION 'rating must be an integer from 1 to 5, or NULL';
  END IF;
  INSERT INTO ratings (clip_id, rater, stars, rated_at) VALUES (NEW.id, '{RATER_OF_SCRIPTS}', NEW.rating,
    COALESCE(CASE WHEN TG_OP = 'INSERT' OR NEW.rated_at IS DISTINCT FROM OLD.rated_at THEN NEW.rated_at END,
      {_NOW_POSTGRES}));
  RETURN NEW;
END $$""",
    f"""CREATE TRIGGER clips_rated AFTER UPDATE OF rating ON clips FOR EACH ROW
WHEN (NEW.rating IS DISTINCT FROM OLD.rating AND {_NOT_OURS_POSTGRES}) EXECUTE FUNCTION clips_rated()""",
    f"""CREATE TRIGGER clips_added_rated AFTER INSERT ON clips FOR EACH ROW
WHEN (NEW.rating IS NOT NULL AND {_NOT_OURS_POSTGRES}) EXECUTE FUNCTION clips_rated()""",
    f"""CREATE FUNCTION clips_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO removed_clips (removed_at, content) VALUES ({_NOW_POSTGRES}, json_build_object(
    'clip', row_to_json(OLD),
    'ratings', (SELECT COALESCE(json_agg(json_build_object('rater', rater, 'stars', stars, 'confidence', confidence,
      'rated_at', rated_at)), '[]') FROM ratings WHERE clip_id = OLD.id),
    'tags', (SELECT COALESCE(json_agg(tag), '[]') FROM tags WHERE clip_id = OLD.id),
    'comparisons', (SELECT COALESCE(json_agg(json_build_object('better_id', better_id, 'worse_id', worse_id,
      'rater', rater, 'compared_at', compared_at)), '[]') FROM comparisons
      WHERE OLD.id IN (better_id, worse_id)))::text);
  DELETE FROM ratings WHERE clip_id = OLD.id;
  DELETE FROM tags WHERE clip_id = OLD.id;
  DELETE FROM clip_sources WHERE clip_id = OLD.id;
  DELETE FROM comparisons WHERE OLD.id IN (better_id, worse_id);
  RETURN OLD;
END $$""",
    "CREATE TRIGGER clips_removed AFTER DELETE ON clips FOR EACH ROW EXECUTE FUNCTION clips_removed()",
)
