-- What inventories said of a node-hour, without a look at every device of the fleet.
CREATE INDEX device_sightings_by_hour ON device_sightings (node, hour_ms);
