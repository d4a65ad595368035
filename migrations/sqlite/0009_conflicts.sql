-- Where jobs claim more of the devices of a node-hour than there is, one row for each set of them; derived with the cells.
CREATE TABLE claim_conflicts (
  hour_ms INTEGER NOT NULL CHECK (hour_ms % 3600000 = 0),
  node INTEGER NOT NULL REFERENCES nodes,
  -- c_ and 16 hexadecimal digits: of the node and the jobs.
  id TEXT NOT NULL,
  -- jobs.job and devices.device, JSON arrays.
  claims TEXT NOT NULL,
  devices TEXT NOT NULL,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL CHECK (to_ms > from_ms),
  -- Device time that is divided between them.
  ms INTEGER NOT NULL CHECK (ms > 0),
  PRIMARY KEY (hour_ms, node, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_conflicts_by_id ON claim_conflicts (id, hour_ms);
