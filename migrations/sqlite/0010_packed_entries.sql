-- The entries of a cell are in its row, and the cells of a node beside each other: they are read and replaced together.
CREATE TABLE packed_cells (
  node INTEGER NOT NULL REFERENCES nodes,
  hour_ms INTEGER NOT NULL CHECK (hour_ms % 3600000 = 0),
  device INTEGER NOT NULL REFERENCES devices,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  booked_to_ms INTEGER NOT NULL,
  capacity_ms INTEGER NOT NULL CHECK (capacity_ms >= 0),
  rules_version INTEGER NOT NULL,
  policy_version INTEGER NOT NULL,
  -- The last fact that it saw.
  facts_seq INTEGER NOT NULL,
  -- When a verdict may change by the passing of time alone (event time); null: settled.
  settles_at_ms INTEGER,
  computed_at_ms INTEGER NOT NULL,
  -- A JSON array of arrays, in the order of the columns of the view.
  entries TEXT NOT NULL,
  PRIMARY KEY (node, hour_ms, device)
) STRICT, WITHOUT ROWID;
INSERT INTO packed_cells
  SELECT node, hour_ms, device, from_ms, to_ms, booked_to_ms, capacity_ms, rules_version, policy_version, facts_seq,
    settles_at_ms, computed_at_ms, (
      SELECT json_group_array(json_array(e.from_ms, e.to_ms, e.bucket, e.reason, e.cause, e.activity, e.holder, e.job,
        e.process, e.evidence, e.provisional, e.suspicious, e.ms, e.condition) ORDER BY e.ordinal)
      FROM entries e WHERE e.hour_ms = c.hour_ms AND e.node = c.node AND e.device = c.device)
  FROM cells c;
DROP TABLE cells;
ALTER TABLE packed_cells RENAME TO cells;
CREATE INDEX cells_to_settle ON cells (settles_at_ms, computed_at_ms) WHERE settles_at_ms IS NOT NULL;
-- Where to look for time that was a job's use, or inside of it: every such node-hour, and some that no longer are.
CREATE TABLE job_hours (
  job INTEGER NOT NULL REFERENCES jobs,
  node INTEGER NOT NULL REFERENCES nodes,
  hour_ms INTEGER NOT NULL,
  PRIMARY KEY (job, node, hour_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO job_hours SELECT DISTINCT job, node, hour_ms FROM entries WHERE job IS NOT NULL;
-- Where to look for time of a process beside the hours that described it, which are in process_hours.
CREATE TABLE undescribed_hours (
  process INTEGER NOT NULL REFERENCES processes,
  hour_ms INTEGER NOT NULL,
  PRIMARY KEY (process, hour_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO undescribed_hours SELECT DISTINCT process, hour_ms FROM entries WHERE process IS NOT NULL
  EXCEPT SELECT process, hour_ms FROM process_hours;
DROP TABLE entries;
-- holder: jobs.job that the time was allocated to; null: nobody. job: jobs.job that used it, or that an undeclared process
-- sits inside. A reason is of unaccounted time, a cause of unobserved.
CREATE VIEW entries AS
  SELECT c.hour_ms, c.node, c.device, e.key AS ordinal, e.value ->> 0 AS from_ms, e.value ->> 1 AS to_ms,
    e.value ->> 2 AS bucket, e.value ->> 3 AS reason, e.value ->> 4 AS cause, e.value ->> 5 AS activity,
    e.value ->> 6 AS holder, e.value ->> 7 AS job, e.value ->> 8 AS process, e.value ->> 9 AS evidence,
    e.value ->> 10 AS provisional, e.value ->> 11 AS suspicious, e.value ->> 12 AS ms, e.value ->> 13 AS condition
  FROM cells c, json_each(c.entries) e;
