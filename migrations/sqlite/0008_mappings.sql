-- To whom the time of jobs is charged, by what their declarations say: every version of the site's rules.
CREATE TABLE mappings (
  version INTEGER PRIMARY KEY,
  effective_from_ms INTEGER NOT NULL CHECK (effective_from_ms % 86400000 = 0),
  -- 1: it was meant to move charges of the past.
  reaches_past INTEGER NOT NULL CHECK (reaches_past IN (0, 1)),
  -- Canonical JSON.
  rules TEXT NOT NULL,
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  recorded_by TEXT NOT NULL
) STRICT;
