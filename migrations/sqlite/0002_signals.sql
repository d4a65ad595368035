-- What ranks findings: derived from a node-hour as its entries are.

CREATE TABLE finding_signals (
  hour_ms INTEGER NOT NULL,
  node INTEGER NOT NULL,
  finding INTEGER NOT NULL REFERENCES findings,
  -- The id of a rule.
  signal TEXT NOT NULL,
  -- Of 100.
  strength INTEGER NOT NULL CHECK (strength BETWEEN 1 AND 100),
  detail TEXT NOT NULL,
  PRIMARY KEY (hour_ms, node, finding, signal)
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_signals_by_finding ON finding_signals (finding, signal);

-- What was found before is looked at again.
INSERT OR IGNORE INTO dirty_hours (node, hour_ms, urgent, seq, since_ms)
SELECT DISTINCT node, hour_ms, 0, 0, hour_ms FROM finding_parts;
