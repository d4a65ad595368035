/** What a node-hour's attribution must know of the fleet, the sources and the policy. */
import { z } from 'zod';
import { HOUR_MS } from '../../contract/batch.ts';
import { EVIDENCE } from '../../domain/bucket.ts';
import type { ConditionSpan } from '../../domain/condition.ts';
import { type Interval, intersect } from '../../domain/interval.ts';
import { DEFAULT_POLICY, type Policy } from '../../domain/policy.ts';
import type { NodeHourKey } from '../batches.ts';
import type { HourFacts } from '../ledger.ts';
import { required, type Sqlite } from './connection.ts';
import { PolicyRest } from './policy-rest.ts';

const Evidence = z.enum(EVIDENCE).exclude(['policy']);

interface SourceRow {
  readonly cluster: string;
  readonly source: string;
  readonly instance: string;
  readonly self_declared: number;
  readonly complete_to_ms: number | null;
  readonly last_heard_ms: number;
}

interface PolicyRow {
  readonly version: number;
  readonly weakest_evidence: string;
  readonly end_grace_ms: number;
  readonly self_declaration_lead_ms: number;
  readonly self_declaration_wait_ms: number;
  readonly rest: string;
}

interface CapacityRow {
  readonly uuid: string;
  readonly from_ms: number;
  readonly to_ms: number | null;
}

interface NodeFacts extends Pick<HourFacts, 'reportsFromMs' | 'sources' | 'conditions'> {
  readonly capacity: readonly CapacityRow[];
}

type FleetFacts = Pick<HourFacts, 'devices' | 'reportsFromMs' | 'sources' | 'policy' | 'conditions'>;

/** The function that begins to read one state. */
export function createFleetReader(sqlite: Sqlite): () => (key: NodeHourKey) => FleetFacts {
  const { database } = sqlite;
  const capacity = database.prepare<[number], CapacityRow>(
    `SELECT d.uuid, c.from_ms, c.to_ms FROM capacity c JOIN devices d ON d.device = c.device
     WHERE c.node = ? ORDER BY d.uuid, c.from_ms`,
  );
  const reportsFrom = database
    .prepare<[number], number | null>('SELECT reports_from_ms FROM node_state WHERE node = ?')
    .pluck();
  const sources = database.prepare<[number], SourceRow>(
    `SELECT c.name AS cluster, s.name AS source, s.instance, s.self_declared, s.complete_to_ms, s.last_heard_ms
     FROM sources s JOIN clusters c ON c.cluster = s.cluster JOIN nodes n ON n.cluster = s.cluster
     WHERE n.node = ? ORDER BY s.name, s.instance`,
  );
  /** Of each beginning the newest word. */
  const conditions = database.prepare<[number], Omit<ConditionSpan, 'toMs'> & { toMs: number | null }>(
    `SELECT o.condition, o.from_ms AS fromMs, o.to_ms AS toMs
     FROM nodes n JOIN node_conditions o ON o.node = n.name JOIN sources s ON s.source = o.source AND s.cluster = n.cluster
     WHERE n.node = ? AND NOT EXISTS (
       SELECT 1 FROM node_conditions p WHERE p.source = o.source AND p.node = o.node AND p.condition = o.condition
         AND p.from_ms = o.from_ms AND p.seq > o.seq)
     ORDER BY o.from_ms, o.condition`,
  );
  const policy = createPolicyReader(sqlite);

  const toState = (row: SourceRow): HourFacts['sources'][number] => ({
    cluster: row.cluster,
    source: row.source,
    sourceInstance: row.instance,
    selfDeclared: row.self_declared === 1,
    completeToMs: row.complete_to_ms,
    lastHeardMs: row.last_heard_ms,
  });

  return () => {
    const known = new Map<number, NodeFacts>();
    const ofNode = (node: number): NodeFacts => {
      const before = known.get(node);
      if (before !== undefined) return before;
      const found = {
        reportsFromMs: reportsFrom.get(node) ?? null,
        sources: sources.all(node).map(toState),
        capacity: capacity.all(node),
        conditions: conditions
          .all(node)
          .map(({ toMs, ...one }) => ({ ...one, toMs: toMs ?? Number.POSITIVE_INFINITY })),
      };
      known.set(node, found);
      return found;
    };
    return ({ node, hourMs }) => {
      const { reportsFromMs, sources: states, capacity: rows, conditions: conditionsOfNode } = ofNode(node);
      const hour = { fromMs: hourMs, toMs: hourMs + HOUR_MS };
      const devices = new Map<string, Interval[]>();
      for (const { uuid, from_ms: fromMs, to_ms: toMs } of rows) {
        const part = intersect(hour, { fromMs, toMs: toMs ?? hour.toMs });
        if (part === null) continue;
        const parts = devices.get(uuid) ?? [];
        devices.set(uuid, parts);
        parts.push(part);
      }
      return {
        devices: [...devices].map(([device, parts]) => ({ device, capacity: parts })),
        reportsFromMs,
        sources: states,
        policy: policy.at(hourMs),
        conditions: conditionsOfNode.filter((one) => intersect(one, hour) !== null),
      };
    };
  };
}

export interface PolicyReader {
  /** The policy that holds at a moment: the newest of those in effect; the built-in one where none is. */
  at(atMs: number): Policy;
  /** One that must be there. */
  version(version: number): Policy;
}

export function createPolicyReader(sqlite: Sqlite): PolicyReader {
  const columns =
    'version, weakest_evidence, end_grace_ms, self_declaration_lead_ms, self_declaration_wait_ms, rest';
  const select = sqlite.database.prepare<[number], PolicyRow>(
    `SELECT ${columns} FROM policies WHERE effective_from_ms <= ? ORDER BY effective_from_ms DESC, version DESC LIMIT 1`,
  );
  const selectVersion = sqlite.database.prepare<[number], PolicyRow>(
    `SELECT ${columns} FROM policies WHERE version = ?`,
  );
  const launchers = sqlite.database
    .prepare<[number], string>('SELECT name FROM policy_launchers WHERE version = ? ORDER BY name')
    .pluck();
  const kept = new Map<number, Policy>();
  sqlite.onRollback(() => kept.clear());
  const toPolicy = (row: PolicyRow): Policy => {
    const known = kept.get(row.version);
    if (known !== undefined) return known;
    const policy: Policy = {
      version: row.version,
      weakestEvidence: Evidence.parse(row.weakest_evidence),
      endGraceMs: row.end_grace_ms,
      selfDeclarationLeadMs: row.self_declaration_lead_ms,
      selfDeclarationWaitMs: row.self_declaration_wait_ms,
      launchers: launchers.all(row.version),
      ...PolicyRest.parse(JSON.parse(row.rest)),
    };
    kept.set(row.version, policy);
    return policy;
  };
  return {
    at(atMs) {
      const row = select.get(atMs);
      return row === undefined ? DEFAULT_POLICY : toPolicy(row);
    },
    version: (version) => toPolicy(required(selectVersion.get(version))),
  };
}
