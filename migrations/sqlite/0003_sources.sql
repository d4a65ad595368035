-- Devices of an allocation by their minor numbers, and which device had a number on a node when.

-- The minor numbers, as a JSON list, where the devices are declared by them; null: they are not.
ALTER TABLE job_allocations ADD COLUMN indices TEXT CHECK (indices IS NULL OR named = 1);

-- A device's number on its node: by which boot, and when an inventory of it said so first.
CREATE TABLE device_minors (
  node INTEGER NOT NULL REFERENCES nodes,
  boot_id TEXT NOT NULL,
  minor INTEGER NOT NULL CHECK (minor >= 0),
  device INTEGER NOT NULL REFERENCES devices,
  first_ms INTEGER NOT NULL,
  PRIMARY KEY (node, boot_id, minor, device)
) STRICT, WITHOUT ROWID;

-- How a source fares, as its runner says it; the newest word. Absent: nobody has said.
CREATE TABLE source_health (
  source INTEGER PRIMARY KEY REFERENCES sources,
  state TEXT NOT NULL CHECK (state IN ('starting', 'following', 'failing', 'stopped')),
  -- Since when it is in this state, by the service's clock.
  since_ms INTEGER NOT NULL,
  -- When the scheduler last answered completely.
  last_success_ms INTEGER,
  reported_at_ms INTEGER NOT NULL,
  -- The newest problems first, as a JSON list of {atMs, subject, message}, and how many there are.
  problems TEXT NOT NULL,
  problem_count INTEGER NOT NULL CHECK (problem_count >= 0)
) STRICT;

-- What a scheduler says of a node, with every word of it: of one beginning the newest holds.
CREATE TABLE node_conditions (
  source INTEGER NOT NULL REFERENCES sources,
  node TEXT NOT NULL,
  condition TEXT NOT NULL CHECK (condition IN ('drained', 'down', 'reserved', 'maintenance')),
  from_ms INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  -- Null: still so.
  to_ms INTEGER CHECK (to_ms >= from_ms),
  reason TEXT NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  recorded_by TEXT NOT NULL,
  PRIMARY KEY (source, node, condition, from_ms, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX node_conditions_by_node ON node_conditions (node, from_ms);
