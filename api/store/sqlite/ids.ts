/** Small integer ids for what people call by name: looked up once, made where missing. */
import type { Sqlite } from './connection.ts';
import { required } from './connection.ts';

export interface NodeRow {
  readonly node: number;
  readonly cluster: number;
}

export interface Ids {
  cluster(name: string): number;
  /** Null where it is not known. */
  findNode(cluster: string, name: string): NodeRow | null;
  node(cluster: string, name: string, nowMs: number): NodeRow;
  findDevice(cluster: number, uuid: string): number | null;
  nodeName(node: number): { readonly cluster: string; readonly node: string };
  /** `jobs.job` of a job id; throws where it is not known. */
  job(id: string): number;
  jobId(job: number): string;
  deviceUuid(device: number): string;
  /** Forgets what may have been rolled back. */
  forget(): void;
}

export function createIds(sqlite: Sqlite): Ids {
  const { database } = sqlite;
  const clusters = new Map<string, number>();
  const nodes = new Map<string, NodeRow>();
  const devices = new Map<string, number>();
  const names = new Map<number, { cluster: string; node: string }>();
  const jobs = new Map<string, number>();
  const jobIds = new Map<number, string>();
  const uuids = new Map<number, string>();

  const insertCluster = database.prepare('INSERT INTO clusters (name) VALUES (?) ON CONFLICT DO NOTHING');
  const selectCluster = database
    .prepare<[string], number>('SELECT cluster FROM clusters WHERE name = ?')
    .pluck();
  const insertGroup = database.prepare(
    'INSERT INTO node_groups (cluster, name) VALUES (?, ?) ON CONFLICT DO NOTHING',
  );
  const insertNode = database.prepare(
    `INSERT INTO nodes (cluster, name, node_group, recorded_at_ms)
     SELECT :cluster, :name, node_group, :nowMs FROM node_groups WHERE cluster = :cluster AND name = 'default'
     ON CONFLICT DO NOTHING`,
  );
  const selectNode = database.prepare<[string, string], NodeRow>(
    `SELECT n.node, n.cluster FROM nodes n JOIN clusters c ON c.cluster = n.cluster
     WHERE c.name = ? AND n.name = ?`,
  );
  const selectName = database.prepare<[number], { cluster: string; node: string }>(
    'SELECT c.name AS cluster, n.name AS node FROM nodes n JOIN clusters c ON c.cluster = n.cluster WHERE n.node = ?',
  );
  const selectDevice = database
    .prepare<[number, string], number>('SELECT device FROM devices WHERE cluster = ? AND uuid = ?')
    .pluck();
  const selectUuid = database.prepare<[number], string>('SELECT uuid FROM devices WHERE device = ?').pluck();
  const selectJob = database.prepare<[string], number>('SELECT job FROM jobs WHERE id = ?').pluck();
  const selectJobId = database.prepare<[number], string>('SELECT id FROM jobs WHERE job = ?').pluck();

  const ids: Ids = {
    cluster(name) {
      let cluster = clusters.get(name) ?? selectCluster.get(name);
      if (cluster === undefined) {
        insertCluster.run(name);
        cluster = required(selectCluster.get(name));
        insertGroup.run(cluster, 'default');
      }
      clusters.set(name, cluster);
      return cluster;
    },
    findNode(cluster, name) {
      const key = `${cluster}\n${name}`;
      const row = nodes.get(key) ?? selectNode.get(cluster, name);
      if (row !== undefined) nodes.set(key, row);
      return row ?? null;
    },
    node(cluster, name, nowMs) {
      const known = ids.findNode(cluster, name);
      if (known !== null) return known;
      insertNode.run({ cluster: ids.cluster(cluster), name, nowMs });
      return required(ids.findNode(cluster, name) ?? undefined);
    },
    findDevice(cluster, uuid) {
      const key = `${cluster}\n${uuid}`;
      const device = devices.get(key) ?? selectDevice.get(cluster, uuid);
      if (device !== undefined) devices.set(key, device);
      return device ?? null;
    },
    nodeName: (node) => remember(names, node, () => selectName.get(node)),
    job: (id) => remember(jobs, id, () => selectJob.get(id)),
    jobId: (job) => remember(jobIds, job, () => selectJobId.get(job)),
    deviceUuid: (device) => remember(uuids, device, () => selectUuid.get(device)),
    forget() {
      for (const map of [clusters, nodes, devices, names, jobs, jobIds, uuids]) map.clear();
    },
  };
  sqlite.onRollback(ids.forget);
  return ids;
}

function remember<K, V>(known: Map<K, V>, key: K, find: () => V | undefined): V {
  const value = known.get(key) ?? required(find());
  known.set(key, value);
  return value;
}
