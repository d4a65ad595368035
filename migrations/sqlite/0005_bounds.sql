-- Between which amounts the executing of a part of a finding lies. Of what is older, nothing else is known.

ALTER TABLE finding_parts ADD COLUMN least_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE finding_parts ADD COLUMN most_ms INTEGER NOT NULL DEFAULT 0;
UPDATE finding_parts SET least_ms = active_ms, most_ms = active_ms;
