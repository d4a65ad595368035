-- The keys by which nodes sign what they send, and texts that the sealed hours of a day share.

CREATE TABLE node_keys (
  key INTEGER PRIMARY KEY,
  node INTEGER NOT NULL REFERENCES nodes,
  -- Ed25519, 32 bytes in hexadecimal.
  public_key TEXT NOT NULL CHECK (length(public_key) = 64),
  -- The start of the first batch that it signed, and where that stands in the order of knowing.
  first_ms INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  -- The token that it came with.
  recorded_by TEXT NOT NULL,
  -- Whom it was accepted by; of the first key of a node nobody is asked, and both are null.
  accepted_by TEXT,
  accepted_at_ms INTEGER,
  UNIQUE (node, public_key),
  CHECK ((accepted_by IS NULL) = (accepted_at_ms IS NULL))
) STRICT;

-- Null: it came unsigned, or it is of a time when none were signed.
ALTER TABLE batches ADD COLUMN key INTEGER REFERENCES node_keys;
ALTER TABLE batches ADD COLUMN signature BLOB CHECK (length(signature) = 64);

CREATE TABLE sealed_texts (
  node INTEGER NOT NULL REFERENCES nodes,
  day_ms INTEGER NOT NULL CHECK (day_ms % 86400000 = 0),
  -- Each hour that is sealed adds what it has and those before it do not.
  body BLOB NOT NULL,
  PRIMARY KEY (node, day_ms)
) STRICT;
