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
