-- Generated: the sum of all migrations. A test holds it equal; run it with UPDATE_SCHEMA=1 to write it anew.

CREATE TABLE batches (
  batch INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams,
  number INTEGER NOT NULL CHECK (number >= 1),
  node INTEGER NOT NULL REFERENCES nodes,
  hour_ms INTEGER NOT NULL CHECK (hour_ms % 3600000 = 0),
  from_ms INTEGER NOT NULL CHECK (from_ms >= hour_ms),
  to_ms INTEGER NOT NULL CHECK (to_ms >= from_ms AND to_ms <= hour_ms + 3600000),
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  hash TEXT NOT NULL CHECK (length(hash) = 64),
  body TEXT NOT NULL, key INTEGER REFERENCES node_keys, signature BLOB CHECK (length(signature) = 64),
  UNIQUE (stream, number)
) STRICT;

CREATE INDEX batches_by_hour ON batches (node, hour_ms, seq);

CREATE TABLE bindings (
  node INTEGER NOT NULL REFERENCES nodes,
  job INTEGER NOT NULL REFERENCES jobs,
  device INTEGER NOT NULL REFERENCES devices,
  hour_ms INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  PRIMARY KEY (node, job, device, hour_ms)
) STRICT, WITHOUT ROWID;

CREATE INDEX bindings_by_hour ON bindings (node, hour_ms);

CREATE TABLE capacity (
  device INTEGER NOT NULL REFERENCES devices,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER CHECK (to_ms > from_ms),
  node INTEGER NOT NULL REFERENCES nodes,
  PRIMARY KEY (device, from_ms)
) STRICT, WITHOUT ROWID;

CREATE INDEX capacity_by_node ON capacity (node, from_ms);

CREATE TABLE "cells" (
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

CREATE INDEX cells_to_settle ON cells (settles_at_ms, computed_at_ms) WHERE settles_at_ms IS NOT NULL;

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

CREATE TABLE clusters (
  cluster INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 253)
) STRICT;

CREATE TABLE connections (
  hour_ms INTEGER NOT NULL,
  node INTEGER NOT NULL REFERENCES nodes,
  ordinal INTEGER NOT NULL,
  process INTEGER NOT NULL REFERENCES processes,
  kind TEXT NOT NULL CHECK (kind IN ('established', 'attempt', 'listening')),
  peer_class TEXT NOT NULL CHECK (peer_class IN ('loopback', 'internal', 'external')),
  local_port INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  peers INTEGER NOT NULL,
  personal TEXT,
  PRIMARY KEY (hour_ms, node, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX connections_by_process ON connections (process);

CREATE TABLE day_changes (
  day_ms INTEGER PRIMARY KEY CHECK (day_ms % 86400000 = 0),
  changes INTEGER NOT NULL
) STRICT;

CREATE TABLE device_minors (
  node INTEGER NOT NULL REFERENCES nodes,
  boot_id TEXT NOT NULL,
  minor INTEGER NOT NULL CHECK (minor >= 0),
  device INTEGER NOT NULL REFERENCES devices,
  first_ms INTEGER NOT NULL,
  PRIMARY KEY (node, boot_id, minor, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_sightings (
  device INTEGER NOT NULL REFERENCES devices,
  hour_ms INTEGER NOT NULL CHECK (hour_ms % 3600000 = 0),
  node INTEGER NOT NULL REFERENCES nodes,
  first_ms INTEGER NOT NULL,
  PRIMARY KEY (device, hour_ms, node)
) STRICT, WITHOUT ROWID;

CREATE INDEX device_sightings_by_hour ON device_sightings (node, hour_ms);

CREATE TABLE devices (
  device INTEGER PRIMARY KEY,
  cluster INTEGER NOT NULL REFERENCES clusters,
  uuid TEXT NOT NULL CHECK (length(uuid) BETWEEN 1 AND 253),
  -- The node that showed it last.
  node INTEGER NOT NULL REFERENCES nodes,
  device_index INTEGER,
  minor INTEGER,
  bus_id TEXT,
  model TEXT NOT NULL,
  memory_bytes INTEGER,
  mig_enabled INTEGER NOT NULL DEFAULT 0 CHECK (mig_enabled IN (0, 1)),
  -- The time of that inventory; 0: in the fleet list only.
  described_ms INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  UNIQUE (cluster, uuid)
) STRICT;

CREATE INDEX devices_by_node ON devices (node);

CREATE TABLE dials (
  hour_ms INTEGER NOT NULL,
  node INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  process INTEGER NOT NULL REFERENCES processes,
  net_namespace INTEGER NOT NULL,
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  failed INTEGER NOT NULL CHECK (failed >= 0),
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  PRIMARY KEY (hour_ms, node, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX dials_by_process ON dials (process);

CREATE TABLE dirty_hours (
  node INTEGER NOT NULL REFERENCES nodes,
  hour_ms INTEGER NOT NULL CHECK (hour_ms % 3600000 = 0),
  urgent INTEGER NOT NULL CHECK (urgent IN (0, 1)),
  -- The fact that made it dirty last: a run that saw an older state must not clear it.
  seq INTEGER NOT NULL,
  since_ms INTEGER NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0,
  retry_at_ms INTEGER NOT NULL DEFAULT 0,
  failure TEXT,
  PRIMARY KEY (node, hour_ms)
) STRICT, WITHOUT ROWID;

CREATE VIEW entries AS
  SELECT c.hour_ms, c.node, c.device, e.key AS ordinal, e.value ->> 0 AS from_ms, e.value ->> 1 AS to_ms,
    e.value ->> 2 AS bucket, e.value ->> 3 AS reason, e.value ->> 4 AS cause, e.value ->> 5 AS activity,
    e.value ->> 6 AS holder, e.value ->> 7 AS job, e.value ->> 8 AS process, e.value ->> 9 AS evidence,
    e.value ->> 10 AS provisional, e.value ->> 11 AS suspicious, e.value ->> 12 AS ms, e.value ->> 13 AS condition
  FROM cells c, json_each(c.entries) e;

CREATE TABLE finding_history (
  finding INTEGER NOT NULL REFERENCES findings,
  ordinal INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (finding, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE finding_parts (
  hour_ms INTEGER NOT NULL,
  node INTEGER NOT NULL,
  device INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  finding INTEGER NOT NULL REFERENCES findings,
  reason TEXT NOT NULL,
  process INTEGER REFERENCES processes,
  evidence TEXT,
  -- The declared job whose boundary it ran inside, and the one that the device was allocated to.
  job INTEGER REFERENCES jobs,
  holder INTEGER REFERENCES jobs (job),
  active_ms INTEGER NOT NULL,
  resident_ms INTEGER NOT NULL,
  -- Of active_ms + resident_ms, and of active_ms alone: awaiting a record.
  provisional_ms INTEGER NOT NULL,
  provisional_active_ms INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  -- Of what was seen beside the ledger; null for time, whose severity is that of its sum.
  severity TEXT CHECK ((severity IS NOT NULL) = (device = 0) AND severity IN ('notice', 'warn', 'critical')), least_ms INTEGER NOT NULL DEFAULT 0, most_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (hour_ms, node, device, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX finding_parts_by_finding ON finding_parts (finding, hour_ms);

CREATE INDEX finding_parts_by_process ON finding_parts (process) WHERE process IS NOT NULL;

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

CREATE TABLE findings (
  finding INTEGER PRIMARY KEY,
  -- f_ and 16 hexadecimal digits.
  id TEXT NOT NULL UNIQUE,
  node INTEGER NOT NULL REFERENCES nodes,
  kind TEXT NOT NULL CHECK (kind IN ('compute', 'network', 'integrity', 'agent')),
  severity TEXT NOT NULL CHECK (severity IN ('notice', 'warn', 'critical')),
  strength TEXT NOT NULL CHECK (strength IN ('proof', 'suspicion', 'unobserved')),
  -- provisional: all of its time awaits a record.
  state TEXT NOT NULL CHECK (state IN ('provisional', 'settled')),
  -- The root of the lineage; null where only a device is known.
  process INTEGER REFERENCES processes,
  device INTEGER REFERENCES devices,
  -- The reason with the most time.
  reason TEXT NOT NULL,
  evidence TEXT,
  -- The declared job that it ran inside, with the most time.
  job INTEGER REFERENCES jobs,
  active_ms INTEGER NOT NULL,
  resident_ms INTEGER NOT NULL,
  provisional_ms INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  resolved_at_ms INTEGER
) STRICT;

CREATE INDEX findings_by_last_seen ON findings (last_seen_ms, finding);

CREATE INDEX findings_by_node ON findings (node, last_seen_ms);

CREATE INDEX findings_by_process ON findings (process) WHERE process IS NOT NULL;

CREATE TABLE fleet_statements (
  statement INTEGER PRIMARY KEY,
  device INTEGER NOT NULL REFERENCES devices,
  node INTEGER NOT NULL REFERENCES nodes,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER CHECK (to_ms >= from_ms),
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX fleet_statements_by_device ON fleet_statements (device);

CREATE TABLE job_allocation_devices (
  job INTEGER NOT NULL,
  version INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  device TEXT NOT NULL,
  PRIMARY KEY (job, version, ordinal, device),
  FOREIGN KEY (job, version, ordinal) REFERENCES job_allocations (job, version, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_allocations (
  job INTEGER NOT NULL,
  version INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  node TEXT NOT NULL,
  -- 1: the devices are named in job_allocation_devices.
  named INTEGER NOT NULL CHECK (named IN (0, 1)),
  device_count INTEGER CHECK (device_count >= 1),
  from_ms INTEGER NOT NULL,
  -- As declared; null: until the job ends.
  to_ms INTEGER,
  -- Where it ends with what this version knows; 9007199254740991 while that is open.
  until_ms INTEGER NOT NULL,
  share_milli INTEGER NOT NULL CHECK (share_milli BETWEEN 1 AND 1000), indices TEXT CHECK (indices IS NULL OR named = 1),
  PRIMARY KEY (job, version, ordinal),
  FOREIGN KEY (job, version) REFERENCES job_versions (job, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_allocations_by_node ON job_allocations (node, until_ms, from_ms);

CREATE TABLE job_boundaries (
  job INTEGER NOT NULL,
  version INTEGER NOT NULL,
  boundary TEXT NOT NULL,
  PRIMARY KEY (job, version, boundary),
  FOREIGN KEY (job, version) REFERENCES job_versions (job, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_boundaries_by_boundary ON job_boundaries (boundary);

CREATE TABLE job_executables (
  job INTEGER NOT NULL,
  version INTEGER NOT NULL,
  executable TEXT NOT NULL,
  PRIMARY KEY (job, version, executable),
  FOREIGN KEY (job, version) REFERENCES job_versions (job, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_hours (
  job INTEGER NOT NULL REFERENCES jobs,
  node INTEGER NOT NULL REFERENCES nodes,
  hour_ms INTEGER NOT NULL,
  PRIMARY KEY (job, node, hour_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_versions (
  job INTEGER NOT NULL REFERENCES jobs,
  version INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  recorded_by TEXT NOT NULL,
  account TEXT NOT NULL,
  user_name TEXT,
  uid INTEGER,
  name TEXT NOT NULL,
  start_ms INTEGER NOT NULL,
  end_ms INTEGER CHECK (end_ms >= start_ms),
  root_node TEXT,
  root_boot_id TEXT,
  root_pid INTEGER,
  root_start_ticks INTEGER,
  -- What else it says: image, entrypoint, commandPattern, peers, processesPerDevice, within; and marks; as canonical JSON.
  declares TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (job, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  job INTEGER PRIMARY KEY,
  -- j_ and 16 hexadecimal digits.
  id TEXT NOT NULL UNIQUE,
  source INTEGER NOT NULL REFERENCES sources,
  external_id TEXT NOT NULL,
  incarnation INTEGER NOT NULL,
  first_recorded_at_ms INTEGER NOT NULL,
  version INTEGER NOT NULL CHECK (version >= 1),
  account TEXT NOT NULL,
  user_name TEXT,
  name TEXT NOT NULL,
  start_ms INTEGER NOT NULL,
  end_ms INTEGER,
  recorded_at_ms INTEGER NOT NULL,
  root_boot_id TEXT,
  root_pid INTEGER,
  root_start_ticks INTEGER,
  UNIQUE (source, external_id, incarnation)
) STRICT;

CREATE INDEX jobs_by_account ON jobs (account, start_ms);

CREATE INDEX jobs_by_external_id ON jobs (external_id);

CREATE INDEX jobs_by_root ON jobs (root_boot_id, root_pid) WHERE root_boot_id IS NOT NULL;

CREATE INDEX jobs_by_start ON jobs (start_ms, job);

CREATE TABLE journal (
  number INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  role TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  previous_hash TEXT NOT NULL CHECK (length(previous_hash) = 64),
  hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64)
) STRICT;

CREATE TABLE ledger_days (
  day_ms INTEGER NOT NULL CHECK (day_ms % 86400000 = 0),
  node INTEGER NOT NULL,
  model TEXT NOT NULL,
  account TEXT NOT NULL,
  user_name TEXT NOT NULL,
  capacity_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL,
  held_ms INTEGER NOT NULL,
  unaccounted_ms INTEGER NOT NULL,
  idle_ms INTEGER NOT NULL,
  unobserved_ms INTEGER NOT NULL,
  allocated_ms INTEGER NOT NULL,
  unaccounted_active_ms INTEGER NOT NULL,
  unaccounted_provisional_ms INTEGER NOT NULL,
  unaccounted_inside_ms INTEGER NOT NULL,
  unobserved_inside_ms INTEGER NOT NULL,
  active_ms INTEGER NOT NULL,
  CHECK (capacity_ms = used_ms + held_ms + unaccounted_ms + idle_ms + unobserved_ms),
  PRIMARY KEY (day_ms, node, model, account, user_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_hours (
  hour_ms INTEGER NOT NULL,
  node INTEGER NOT NULL,
  device INTEGER NOT NULL,
  holder INTEGER NOT NULL,
  account TEXT NOT NULL,
  user_name TEXT NOT NULL,
  -- 1: nothing shows that the holder has this device; it was chosen by rule among the node's ("n devices of a node").
  assumed INTEGER NOT NULL CHECK (assumed IN (0, 1)),
  capacity_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL,
  held_ms INTEGER NOT NULL,
  unaccounted_ms INTEGER NOT NULL,
  idle_ms INTEGER NOT NULL,
  unobserved_ms INTEGER NOT NULL,
  allocated_ms INTEGER NOT NULL,
  unaccounted_active_ms INTEGER NOT NULL,
  unaccounted_provisional_ms INTEGER NOT NULL,
  unaccounted_inside_ms INTEGER NOT NULL,
  unobserved_inside_ms INTEGER NOT NULL,
  -- Of used_ms and unaccounted_ms: executing.
  active_ms INTEGER NOT NULL,
  CHECK (capacity_ms = used_ms + held_ms + unaccounted_ms + idle_ms + unobserved_ms),
  CHECK (allocated_ms = CASE WHEN holder = 0 THEN 0 ELSE capacity_ms END),
  PRIMARY KEY (hour_ms, node, device, holder)
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_hours_by_holder ON ledger_hours (holder, hour_ms) WHERE holder <> 0;

CREATE TABLE mappings (
  version INTEGER PRIMARY KEY,
  effective_from_ms INTEGER NOT NULL CHECK (effective_from_ms % 86400000 = 0),
  -- 1: it was meant to move charges of the past.
  reaches_past INTEGER NOT NULL CHECK (reaches_past IN (0, 1)),
  -- Canonical JSON.
  rules TEXT NOT NULL,
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  recorded_by TEXT NOT NULL
) STRICT;

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

CREATE TABLE node_groups (
  node_group INTEGER PRIMARY KEY,
  cluster INTEGER NOT NULL REFERENCES clusters,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
  mode TEXT NOT NULL DEFAULT 'live' CHECK (mode IN ('observe', 'shadow', 'live')),
  UNIQUE (cluster, name)
) STRICT;

CREATE TABLE node_hosts (
  node INTEGER PRIMARY KEY REFERENCES nodes,
  operating_system TEXT,
  kernel TEXT,
  processor TEXT,
  cores INTEGER,
  memory_bytes INTEGER,
  virtualisation TEXT,
  -- The start of the batch that said so.
  described_ms INTEGER NOT NULL
) STRICT;

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

CREATE TABLE node_problems (
  problem INTEGER PRIMARY KEY,
  node INTEGER NOT NULL REFERENCES nodes,
  at_ms INTEGER NOT NULL,
  source TEXT NOT NULL,
  message TEXT NOT NULL
) STRICT;

CREATE INDEX node_problems_by_node ON node_problems (node, at_ms);

CREATE TABLE node_state (
  node INTEGER PRIMARY KEY REFERENCES nodes,
  -- Null until the agent is first heard.
  stream INTEGER REFERENCES streams,
  number INTEGER,
  agent_version TEXT,
  driver_version TEXT,
  boot_id TEXT,
  poll_interval_ms INTEGER,
  last_heard_ms INTEGER,
  -- The start and the end of what the agent has reported.
  reports_from_ms INTEGER,
  complete_to_ms INTEGER,
  -- The end of what is booked as not measured since nobody reported.
  silent_to_ms INTEGER,
  -- Digest of the set of processes on each device in the newest batch.
  tenants_digest TEXT,
  -- The start of the batch that listed its tools last, and the driver version then; null: none ever did.
  tools_from_ms INTEGER,
  tools_driver_version TEXT
) STRICT;

CREATE TABLE node_tools (
  node INTEGER NOT NULL REFERENCES nodes,
  ordinal INTEGER NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('nvidia_smi', 'libnvidia_ml', 'preload')),
  path TEXT NOT NULL,
  -- `major:minor` and inode of the file; null where they could not be read.
  file_device TEXT,
  file_inode TEXT,
  owner_uid INTEGER,
  size_bytes INTEGER,
  sha256 TEXT CHECK (length(sha256) = 64),
  version TEXT,
  PRIMARY KEY (node, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
  node INTEGER PRIMARY KEY,
  cluster INTEGER NOT NULL REFERENCES clusters,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
  node_group INTEGER NOT NULL REFERENCES node_groups,
  -- When its agent was first heard; null: in the fleet list only.
  enrolled_at_ms INTEGER,
  recorded_at_ms INTEGER NOT NULL,
  UNIQUE (cluster, name)
) STRICT;

CREATE TABLE personal (
  digest TEXT PRIMARY KEY CHECK (length(digest) = 64),
  kind TEXT NOT NULL CHECK (kind IN ('process', 'connection')),
  salt TEXT,
  user_name TEXT,
  command_line TEXT,
  command_line_cut INTEGER CHECK (command_line_cut IN (0, 1)),
  -- Up to 16 `address:port`, one a line.
  peers TEXT,
  last_hour_ms INTEGER NOT NULL,
  erased_at_ms INTEGER,
  CHECK ((salt IS NULL) = (erased_at_ms IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE policies (
  version INTEGER PRIMARY KEY,
  effective_from_ms INTEGER NOT NULL,
  -- 1: it was meant to change verdicts of the past.
  reaches_past INTEGER NOT NULL DEFAULT 0 CHECK (reaches_past IN (0, 1)),
  weakest_evidence TEXT NOT NULL CHECK (weakest_evidence IN ('cgroup', 'lineage', 'binding', 'claim')),
  end_grace_ms INTEGER NOT NULL,
  self_declaration_lead_ms INTEGER NOT NULL,
  self_declaration_wait_ms INTEGER NOT NULL,
  -- Its exemptions, internal ranges and approved tunnels, as canonical JSON.
  rest TEXT NOT NULL DEFAULT '{}',
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  recorded_by TEXT NOT NULL
) STRICT;

CREATE TABLE policy_launchers (
  version INTEGER NOT NULL REFERENCES policies,
  name TEXT NOT NULL,
  PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE process_boundaries (
  process INTEGER NOT NULL REFERENCES processes,
  boundary TEXT NOT NULL,
  PRIMARY KEY (process, boundary)
) STRICT, WITHOUT ROWID;

CREATE INDEX process_boundaries_by_boundary ON process_boundaries (boundary);

CREATE TABLE process_claims (
  process INTEGER NOT NULL REFERENCES processes,
  ordinal INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (process, name, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX process_claims_by_value ON process_claims (value);

CREATE TABLE process_hours (
  process INTEGER NOT NULL REFERENCES processes,
  hour_ms INTEGER NOT NULL,
  PRIMARY KEY (process, hour_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE process_unreadable (
  process INTEGER NOT NULL REFERENCES processes,
  ordinal INTEGER NOT NULL,
  what TEXT NOT NULL,
  PRIMARY KEY (process, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE processes (
  process INTEGER PRIMARY KEY,
  node INTEGER NOT NULL REFERENCES nodes,
  boot_id TEXT NOT NULL,
  -- <pid>/<start ticks>, or <pid>/?<first seen ms>. The id on pages is <boot id>/<key>.
  key TEXT NOT NULL,
  pid INTEGER NOT NULL,
  start_ticks INTEGER,
  started_ms INTEGER,
  -- key of the parent, same node and boot, as the earliest hour has it, and that hour.
  parent_key TEXT,
  parent_hour_ms INTEGER,
  uid INTEGER,
  login_uid INTEGER,
  session_id INTEGER,
  -- Inodes of its namespaces; all of them null where they could not be read.
  namespace_pid INTEGER,
  namespace_net INTEGER,
  namespace_mnt INTEGER,
  namespace_user INTEGER,
  comm TEXT NOT NULL,
  executable_path TEXT,
  executable_device TEXT,
  executable_inode TEXT,
  executable_deleted INTEGER CHECK (executable_deleted IN (0, 1)),
  executable_file_system TEXT,
  -- SHA-256 of its redacted command line.
  arguments_digest TEXT CHECK (length(arguments_digest) = 64),
  cgroup TEXT NOT NULL,
  -- What its cgroups name, as cgroupOwner spells it (a job's kind goes first, then the newest); null: none.
  boundary TEXT,
  personal TEXT,
  first_seen_ms INTEGER NOT NULL,
  -- The newest hour in which it was reported, which says everything else; 0: in none.
  last_hour_ms INTEGER NOT NULL,
  exited_ms INTEGER,
  UNIQUE (node, boot_id, key)
) STRICT;

CREATE INDEX processes_by_parent ON processes (node, boot_id, parent_key) WHERE parent_key IS NOT NULL;

CREATE INDEX processes_by_pid ON processes (boot_id, pid);

CREATE TABLE quarantined_batches (
  quarantined INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams,
  number INTEGER NOT NULL,
  hash TEXT NOT NULL,
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  why TEXT NOT NULL,
  body TEXT NOT NULL,
  UNIQUE (stream, number, hash)
) STRICT;

CREATE TABLE rate_cards (
  version INTEGER PRIMARY KEY,
  cluster INTEGER NOT NULL REFERENCES clusters,
  effective_from_ms INTEGER NOT NULL CHECK (effective_from_ms % 3600000 = 0),
  currency TEXT NOT NULL CHECK (length(currency) = 3),
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  recorded_by TEXT NOT NULL
) STRICT;

CREATE TABLE rates (
  version INTEGER NOT NULL REFERENCES rate_cards,
  model TEXT NOT NULL,
  micros_per_gpu_hour TEXT NOT NULL CHECK (micros_per_gpu_hour NOT GLOB '*[^0-9]*' AND length(micros_per_gpu_hour) BETWEEN 1 AND 21),
  PRIMARY KEY (version, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed_hours (
  node INTEGER NOT NULL REFERENCES nodes,
  hour_ms INTEGER NOT NULL CHECK (hour_ms % 3600000 = 0),
  batch_count INTEGER NOT NULL CHECK (batch_count > 0),
  head_hash TEXT NOT NULL CHECK (length(head_hash) = 64),
  body_bytes INTEGER NOT NULL,
  sealed_at_ms INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (node, hour_ms)
) STRICT;

CREATE TABLE sealed_runs (
  stream INTEGER NOT NULL REFERENCES streams,
  first_number INTEGER NOT NULL,
  last_number INTEGER NOT NULL CHECK (last_number >= first_number),
  node INTEGER NOT NULL,
  hour_ms INTEGER NOT NULL,
  PRIMARY KEY (stream, first_number),
  FOREIGN KEY (node, hour_ms) REFERENCES sealed_hours (node, hour_ms)
) STRICT, WITHOUT ROWID;

CREATE INDEX sealed_runs_by_hour ON sealed_runs (node, hour_ms);

CREATE TABLE sealed_texts (
  node INTEGER NOT NULL REFERENCES nodes,
  day_ms INTEGER NOT NULL CHECK (day_ms % 86400000 = 0),
  -- Each hour that is sealed adds what it has and those before it do not.
  body BLOB NOT NULL,
  PRIMARY KEY (node, day_ms)
) STRICT;

CREATE TABLE sequence (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  last INTEGER NOT NULL CHECK (last >= 0)
) STRICT;

CREATE TABLE sessions (
  hash TEXT PRIMARY KEY CHECK (length(hash) = 64),
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  accounts TEXT CHECK ((role = 'owner') = (accounts IS NOT NULL)),
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE sign_in_codes (
  hash TEXT PRIMARY KEY CHECK (length(hash) = 64),
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  -- The accounts that an owner sees: a JSON list of text.
  accounts TEXT CHECK ((role = 'owner') = (accounts IS NOT NULL)),
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  used_at_ms INTEGER
) STRICT;

CREATE TABLE silences (
  node INTEGER NOT NULL REFERENCES nodes,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL CHECK (to_ms > from_ms),
  cause TEXT NOT NULL CHECK (cause IN ('agent_silent', 'not_enrolled')),
  seq INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  PRIMARY KEY (node, from_ms)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE source_watermarks (
  source INTEGER NOT NULL REFERENCES sources,
  seq INTEGER NOT NULL,
  complete_to_ms INTEGER NOT NULL,
  recorded_at_ms INTEGER NOT NULL,
  PRIMARY KEY (source, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
  source INTEGER PRIMARY KEY,
  cluster INTEGER NOT NULL REFERENCES clusters,
  name TEXT NOT NULL,
  instance TEXT NOT NULL,
  self_declared INTEGER NOT NULL CHECK (self_declared IN (0, 1)),
  complete_to_ms INTEGER,
  last_heard_ms INTEGER NOT NULL,
  UNIQUE (cluster, name, instance)
) STRICT;

CREATE TABLE streams (
  stream INTEGER PRIMARY KEY,
  node INTEGER NOT NULL REFERENCES nodes,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
  head_number INTEGER NOT NULL DEFAULT 0 CHECK (head_number >= 0),
  head_hash TEXT NOT NULL CHECK (length(head_hash) = 64),
  opened_at_ms INTEGER NOT NULL,
  UNIQUE (node, name)
) STRICT;

CREATE TABLE token_accounts (
  token TEXT NOT NULL REFERENCES tokens,
  account TEXT NOT NULL,
  PRIMARY KEY (token, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('agent', 'scheduler', 'viewer', 'owner', 'finance', 'auditor', 'admin')),
  -- The node name that an agent's token writes for.
  node TEXT,
  -- The OS accounts that an owner's token declares jobs for: a JSON list of text; null: any.
  users TEXT CHECK (users IS NULL OR role = 'owner'),
  created_at_ms INTEGER NOT NULL,
  revoked_at_ms INTEGER,
  last_used_at_ms INTEGER,
  CHECK ((role = 'agent') = (node IS NOT NULL))
) STRICT;

CREATE TABLE undescribed_hours (
  process INTEGER NOT NULL REFERENCES processes,
  hour_ms INTEGER NOT NULL,
  PRIMARY KEY (process, hour_ms)
) STRICT, WITHOUT ROWID;
