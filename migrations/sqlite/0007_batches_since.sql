-- What came of an hour since a moment is found without looking at what was there.
DROP INDEX batches_by_hour;
CREATE INDEX batches_by_hour ON batches (node, hour_ms, seq);
