/** The fleet list, silent nodes and rate cards in SQLite. */
import type { FleetChange, FleetDevice, FleetNode, FleetStore, RateCardWrite, SilentNode } from '../fleet.ts';
import type { Capacity } from './capacity.ts';
import { required, type Sqlite } from './connection.ts';
import { type DirtyMarks, hourOf } from './dirty.ts';
import type { Ids } from './ids.ts';
import type { Journal } from './journal.ts';

const DAY_MS = 86_400_000;

export interface FleetParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly journal: Journal;
  readonly capacity: Capacity;
}

export function createFleet(sqlite: Sqlite, parts: FleetParts): FleetStore {
  const { database } = sqlite;
  const { ids, dirty, journal, capacity } = parts;
  const nodes = database.prepare<[string], Omit<FleetNode, 'enrolled'> & { enrolled: number }>(
    `SELECT n.name AS node, g.name AS "group", g.mode, n.enrolled_at_ms IS NOT NULL AS enrolled
     FROM nodes n JOIN node_groups g ON g.node_group = n.node_group JOIN clusters c ON c.cluster = n.cluster
     WHERE c.name = ? ORDER BY n.name`,
  );
  const device = database.prepare<[string, string], { device: number; uuid: string }>(
    'SELECT d.device, d.uuid FROM devices d JOIN clusters c ON c.cluster = d.cluster WHERE c.name = ? AND d.uuid = ?',
  );
  const change = createFleetWriter(sqlite, ids, capacity);
  const silence = createSilenceWriter(sqlite, dirty);
  const silent = createSilenceReader(sqlite);
  const addCard = createCardWriter(sqlite, ids);

  return {
    readFleet: async (cluster, uuids) =>
      sqlite.read(() => ({
        nodes: nodes.all(cluster).map((row) => ({ ...row, enrolled: row.enrolled === 1 })),
        devices: uuids.flatMap((uuid): FleetDevice[] => {
          const row = device.get(cluster, uuid);
          if (row === undefined) return [];
          const named = <T extends { node: number }>(rows: readonly T[]) =>
            rows.map((one) => ({ ...one, node: ids.nodeName(one.node).node }));
          const { stretches, statements, sightings } = capacity;
          return [
            {
              uuid,
              capacity: named(stretches(row.device)),
              statements: named(statements(row.device)),
              sightings: named(sightings(row.device)),
            },
          ];
        }),
      })),
    applyFleet: async (cluster, changes, nowMs, entry) =>
      sqlite.write(() => {
        const seq = sqlite.nextSeq();
        for (const one of changes) change(cluster, one, seq, nowMs);
        journal.add(entry);
      }),
    listSilent: async (nowMs, graceMs) => silent(nowMs, graceMs),
    addSilence: async (node, interval, nowMs) =>
      sqlite.write(() => silence(node, interval.fromMs, interval.toMs, nowMs)),
    addRateCard: async (card) =>
      sqlite.write(() => {
        addCard(card, sqlite.nextSeq());
        journal.add(card.journal);
      }),
  };
}

function createFleetWriter(
  sqlite: Sqlite,
  ids: Ids,
  capacity: Capacity,
): (cluster: string, change: FleetChange, seq: number, nowMs: number) => void {
  const { database } = sqlite;
  const addGroup = database.prepare(
    'INSERT INTO node_groups (cluster, name) VALUES (?, ?) ON CONFLICT DO NOTHING',
  );
  const setMode = database.prepare('UPDATE node_groups SET mode = ? WHERE cluster = ? AND name = ?');
  const moveGroup = database.prepare(
    `UPDATE nodes SET node_group = (SELECT node_group FROM node_groups WHERE cluster = :cluster AND name = :group)
     WHERE node = :node`,
  );
  const addDevice = database.prepare(
    `INSERT INTO devices (cluster, uuid, node, device_index, model, described_ms, recorded_at_ms)
     VALUES (:cluster, :uuid, :node, :index, :model, 0, :nowMs) ON CONFLICT DO NOTHING`,
  );
  const addStatement = database.prepare(
    `INSERT INTO fleet_statements (device, node, from_ms, to_ms, seq, recorded_at_ms)
     VALUES (:device, :node, :fromMs, :toMs, :seq, :nowMs)`,
  );
  // A node of the list is booked from its capacity's start on, as not measured, until its agent is heard.
  const bookFrom = database.prepare(
    `INSERT INTO node_state (node, silent_to_ms) VALUES (?, ?) ON CONFLICT (node) DO NOTHING`,
  );

  return (clusterName, change, seq, nowMs) => {
    const cluster = ids.cluster(clusterName);
    if (change.kind === 'set_mode') {
      addGroup.run(cluster, change.group);
      setMode.run(change.mode, cluster, change.group);
      return;
    }
    if (change.kind === 'state') {
      const { uuid, model, index, statement } = change;
      const { node } = ids.node(clusterName, statement.node, nowMs);
      addDevice.run({ cluster, uuid, node, index, model, nowMs });
      const device = required(ids.findDevice(cluster, uuid) ?? undefined);
      addStatement.run({ ...statement, device, node, seq, nowMs });
      bookFrom.run(node, Math.min(statement.fromMs, nowMs));
      capacity.refresh(device, seq, nowMs);
      return;
    }
    const { node } = ids.node(clusterName, change.node, nowMs);
    addGroup.run(cluster, change.group);
    moveGroup.run({ cluster, group: change.group, node });
  };
}

function createSilenceReader(sqlite: Sqlite): (nowMs: number, graceMs: number) => SilentNode[] {
  const select = sqlite.database.prepare<
    [{ nowMs: number; graceMs: number }],
    { node: number; name: string; booked: number; until: number; enrolled: number }
  >(
    `SELECT * FROM (
       SELECT n.node, n.name, s.complete_to_ms IS NOT NULL AS enrolled, coalesce(s.last_heard_ms, 0) AS heard,
         max(coalesce(s.complete_to_ms, s.silent_to_ms), coalesce(s.silent_to_ms, s.complete_to_ms)) AS booked,
         :nowMs - max(:graceMs, 4 * coalesce(s.poll_interval_ms, 0)) AS until
       FROM nodes n JOIN node_state s ON s.node = n.node) t
     WHERE booked < until AND heard < until
       AND EXISTS (SELECT 1 FROM capacity c WHERE c.node = t.node AND (c.to_ms IS NULL OR c.to_ms > booked))`,
  );
  return (nowMs, graceMs) =>
    select.all({ nowMs, graceMs }).map(({ node, name, booked, until, enrolled }) => {
      const cause = enrolled === 1 ? 'agent_silent' : 'not_enrolled';
      return { node, name, bookedToMs: booked, untilMs: until, cause };
    });
}

function createSilenceWriter(
  sqlite: Sqlite,
  dirty: DirtyMarks,
): (node: SilentNode, fromMs: number, toMs: number, nowMs: number) => void {
  const { database } = sqlite;
  // One row grows through a day rather than a new one each time.
  const extend = database.prepare(
    `UPDATE silences SET to_ms = :toMs, seq = :seq, recorded_at_ms = :nowMs
     WHERE node = :node AND to_ms = :fromMs AND cause = :cause AND from_ms >= :dayMs`,
  );
  const insert = database.prepare(
    `INSERT INTO silences (node, from_ms, to_ms, cause, seq, recorded_at_ms)
     VALUES (:node, :fromMs, :toMs, :cause, :seq, :nowMs)
     ON CONFLICT (node, from_ms) DO UPDATE SET to_ms = max(to_ms, excluded.to_ms), seq = excluded.seq`,
  );
  const move = database.prepare(
    'UPDATE node_state SET silent_to_ms = max(coalesce(silent_to_ms, 0), ?) WHERE node = ?',
  );

  return ({ node, cause }, fromMs, toMs, nowMs) => {
    const seq = sqlite.nextSeq();
    const row = { node, cause, fromMs, toMs, seq, nowMs };
    if (extend.run({ ...row, dayMs: fromMs - (fromMs % DAY_MS) }).changes === 0) insert.run(row);
    move.run(toMs, node);
    dirty.markRange(node, hourOf(fromMs), toMs, seq, nowMs);
  };
}

function createCardWriter(sqlite: Sqlite, ids: Ids): (card: RateCardWrite, seq: number) => void {
  const { database } = sqlite;
  const insert = database.prepare(
    `INSERT INTO rate_cards (cluster, effective_from_ms, currency, seq, recorded_at_ms, recorded_by)
     VALUES (?, ?, ?, ?, ?, ?)`,
  );
  const insertRate = database.prepare(
    'INSERT INTO rates (version, model, micros_per_gpu_hour) VALUES (?, ?, ?)',
  );
  return ({ cluster, effectiveFromMs, currency, nowMs, recordedBy, microsPerGpuHour }, seq) => {
    const { lastInsertRowid } = insert.run(
      ids.cluster(cluster),
      effectiveFromMs,
      currency,
      seq,
      nowMs,
      recordedBy,
    );
    for (const [model, micros] of microsPerGpuHour) insertRate.run(lastInsertRowid, model, String(micros));
  };
}
