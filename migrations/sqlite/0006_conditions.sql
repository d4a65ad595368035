-- Why a node had no job at the time, as its scheduler says it: of idle and not measured time.
ALTER TABLE entries ADD COLUMN condition TEXT
  CHECK (condition IS NULL OR (bucket IN ('idle', 'unobserved') AND condition IN ('drained', 'down', 'reserved', 'maintenance')));
