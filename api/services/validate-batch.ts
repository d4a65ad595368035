/**
 * The fast check of what an agent sends, written by hand because it runs for every span that a site measures. A test
 * holds it to the schema in `api/contract/batch-schema.ts`, which is the readable form of the same rules.
 */
import {
  BATCH_LIMITS,
  BATCH_SCHEMA,
  type BatchRequest,
  GAP_REASONS,
  HOUR_MS,
  PEER_CLASSES,
  SPLIT_METHODS,
} from '../contract/batch.ts';
import { BATCH_PATTERNS, CONNECTION_KINDS, MAX_TIME_MS } from '../contract/batch-schema.ts';

/** The first member that is wrong. `field` is its path, such as `batches.0.body.toMs`. */
export class BadField extends Error {
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.name = 'BadField';
    this.field = field;
  }
}

type Members = Readonly<Record<string, unknown>>;

const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws `BadField` unless `value` is a batch request. Says nothing of hashes: ingest recomputes those. */
export function checkBatchRequest(value: unknown): asserts value is BatchRequest {
  const request = members(value, 1, 'body');
  const batches = list(request, 'batches', BATCH_LIMITS.batchesPerRequest, checkBatch);
  if (batches.length === 0) throw new BadField('batches', 'must hold at least one batch');
  const [first] = batches;
  if (!isMembers(first) || !isMembers(first['body'])) return;
  for (const [index, batch] of batches.entries()) {
    if (!isMembers(batch) || !isMembers(batch['body'])) continue;
    for (const name of ['cluster', 'node', 'stream'] as const) {
      if (batch['body'][name] !== first['body'][name])
        throw new BadField(`batches.${index}.body.${name}`, 'must be the same in all batches of a request');
    }
  }
}

function checkBatch(value: unknown): void {
  const batch = members(value, 3, '');
  inside('body', () => checkBody(batch['body']));
  pattern(batch, 'hash', BATCH_PATTERNS.hash);
  list(batch, 'personal', BATCH_LIMITS.processes + BATCH_LIMITS.connections, checkPersonal);
}

function checkBody(value: unknown): void {
  const body = members(value, 19, '');
  if (body['schema'] !== BATCH_SCHEMA) throw new BadField('schema', `must be ${BATCH_SCHEMA}`);
  name(body, 'cluster');
  name(body, 'node');
  name(body, 'stream');
  integer(body, 'seq', 1, Number.MAX_SAFE_INTEGER);
  pattern(body, 'previousHash', BATCH_PATTERNS.hash);
  pattern(body, 'bootId', BATCH_PATTERNS.bootId);
  name(body, 'agentVersion');
  if (body['driverVersion'] !== null) name(body, 'driverVersion');
  integer(body, 'pollIntervalMs', 1, HOUR_MS);
  const fromMs = time(body, 'fromMs');
  const hourEndMs = fromMs - (fromMs % HOUR_MS) + HOUR_MS;
  const toMs = integer(
    body,
    'toMs',
    fromMs,
    hourEndMs,
    'must lie within the UTC hour of fromMs, not before it',
  );
  if (body['inventory'] !== null) {
    const devices = list(body, 'inventory', BATCH_LIMITS.devices, checkDevice);
    if (new Set(devices.map((device) => (isMembers(device) ? device['uuid'] : null))).size !== devices.length)
      throw new BadField('inventory', 'names a device twice');
  }
  list(body, 'processes', BATCH_LIMITS.processes, checkProcess);
  list(body, 'tenancies', BATCH_LIMITS.tenanciesPerBatch, (one) => checkTenancy(one, fromMs, toMs));
  list(body, 'gaps', BATCH_LIMITS.gaps, (one) => checkGap(one, fromMs, toMs));
  list(body, 'connections', BATCH_LIMITS.connections, checkConnection);
  list(body, 'clockSteps', BATCH_LIMITS.problems, checkClockStep);
  list(body, 'problems', BATCH_LIMITS.problems, checkProblem);
}

function checkDevice(value: unknown): void {
  const device = members(value, 7, '');
  name(device, 'uuid');
  integer(device, 'index', 0, 65_535);
  if (device['minor'] !== null) integer(device, 'minor', 0, 65_535);
  name(device, 'busId');
  name(device, 'model');
  if (device['memoryBytes'] !== null) integer(device, 'memoryBytes', 0, Number.MAX_SAFE_INTEGER);
  flag(device, 'migEnabled');
}

function checkExecutable(value: unknown): void {
  const executable = members(value, 4, '');
  text(executable, 'path', BATCH_LIMITS.pathChars);
  if (executable['device'] !== null) text(executable, 'device', BATCH_LIMITS.nameChars);
  if (executable['inode'] !== null) text(executable, 'inode', BATCH_LIMITS.nameChars);
  flag(executable, 'deleted');
}

function checkClaim(value: unknown): void {
  const claim = members(value, 2, '');
  name(claim, 'name');
  text(claim, 'value', BATCH_LIMITS.detailChars);
}

function checkProcess(value: unknown): void {
  const process = members(value, 17, '');
  const key = pattern(process, 'key', BATCH_PATTERNS.processKey);
  const pid = integer(process, 'pid', 0, 2 ** 32);
  if (!key.startsWith(`${pid}/`)) throw new BadField('key', 'must start with the pid');
  if (process['startTicks'] !== null) integer(process, 'startTicks', 0, Number.MAX_SAFE_INTEGER);
  if (process['startedMs'] !== null) time(process, 'startedMs');
  if (process['parent'] !== null) pattern(process, 'parent', BATCH_PATTERNS.processKey);
  if (process['uid'] !== null) integer(process, 'uid', 0, 2 ** 32);
  if (process['loginUid'] !== null) integer(process, 'loginUid', 0, 2 ** 32);
  text(process, 'comm', BATCH_LIMITS.nameChars);
  if (process['executable'] !== null) inside('executable', () => checkExecutable(process['executable']));
  text(process, 'cgroup', BATCH_LIMITS.cgroupChars);
  list(process, 'earlierCgroups', BATCH_LIMITS.claims, (one) => checkText(one, BATCH_LIMITS.cgroupChars));
  list(process, 'earlierExecutables', BATCH_LIMITS.claims, checkExecutable);
  list(process, 'claims', BATCH_LIMITS.claims, checkClaim);
  list(process, 'unreadable', BATCH_LIMITS.claims, (one) => checkText(one, BATCH_LIMITS.detailChars));
  time(process, 'firstSeenMs');
  if (process['exitedMs'] !== null) time(process, 'exitedMs');
  if (process['personal'] !== null) pattern(process, 'personal', BATCH_PATTERNS.hash);
}

function checkTenant(value: unknown): void {
  const tenant = members(value, 3, '');
  pattern(tenant, 'process', BATCH_PATTERNS.processKey);
  text(tenant, 'type', 16);
  if (tenant['memoryBytes'] !== null) integer(tenant, 'memoryBytes', 0, Number.MAX_SAFE_INTEGER);
}

function checkTenancy(value: unknown, fromMs: number, toMs: number): void {
  const tenancy = members(value, 7, '');
  name(tenancy, 'device');
  const tenants = list(tenancy, 'tenants', BATCH_LIMITS.tenantsPerTenancy, checkTenant);
  const startMs = integer(tenancy, 'startMs', fromMs, toMs, 'must lie within the batch');
  const lengths = integers(tenancy, 'lengthMs', BATCH_LIMITS.spansPerTenancy, 1, HOUR_MS);
  if (lengths.length === 0) throw new BadField('lengthMs', 'must hold at least one span');
  let endMs = startMs;
  for (const lengthMs of lengths) endMs += lengthMs;
  if (endMs > toMs) throw new BadField('lengthMs', 'must not reach beyond the batch');
  oneOf(tenancy, 'method', SPLIT_METHODS);
  if (tenancy['activeMs'] === null) {
    if (list(tenancy, 'shareMs', 0, () => undefined).length > 0)
      throw new BadField('shareMs', 'must be empty where activeMs is null');
    return;
  }
  const active = integers(tenancy, 'activeMs', BATCH_LIMITS.spansPerTenancy, 0, HOUR_MS);
  if (active.length !== lengths.length) throw new BadField('activeMs', 'must be as long as lengthMs');
  if (active.some((ms, index) => ms > (lengths[index] ?? 0)))
    throw new BadField('activeMs', 'must not exceed the length of its span');
  checkShares(tenancy, tenants.length, active);
}

function checkShares(tenancy: Members, tenantCount: number, active: readonly number[]): void {
  const totals: number[] = active.map(() => 0);
  const rows = list(tenancy, 'shareMs', BATCH_LIMITS.tenantsPerTenancy, (row) => {
    const shares = checkIntegers(row, BATCH_LIMITS.spansPerTenancy, 0, HOUR_MS);
    if (shares.length !== active.length) throw new BadField('', 'must be as long as lengthMs');
    for (const [index, ms] of shares.entries()) totals[index] = (totals[index] ?? 0) + ms;
  });
  if (rows.length !== tenantCount) throw new BadField('shareMs', 'must have one row for each tenant');
  if (tenantCount > 0 && totals.some((ms, index) => ms !== active[index]))
    throw new BadField('shareMs', 'must sum to activeMs');
}

function checkGap(value: unknown, fromMs: number, toMs: number): void {
  const gap = members(value, 5, '');
  if (gap['device'] !== null) name(gap, 'device');
  const gapFromMs = integer(gap, 'fromMs', fromMs, toMs, 'must lie within the batch');
  integer(gap, 'toMs', gapFromMs + 1, toMs, 'must lie after fromMs and within the batch');
  oneOf(gap, 'reason', GAP_REASONS);
  text(gap, 'detail', BATCH_LIMITS.detailChars);
}

function checkConnection(value: unknown): void {
  const connection = members(value, 8, '');
  pattern(connection, 'process', BATCH_PATTERNS.processKey);
  oneOf(connection, 'kind', CONNECTION_KINDS);
  oneOf(connection, 'peerClass', PEER_CLASSES);
  integer(connection, 'localPort', 0, 65_535);
  const firstMs = time(connection, 'firstMs');
  integer(connection, 'lastMs', firstMs, MAX_TIME_MS, 'must not lie before firstMs');
  integer(connection, 'peers', 0, Number.MAX_SAFE_INTEGER);
  if (connection['personal'] !== null) pattern(connection, 'personal', BATCH_PATTERNS.hash);
}

function checkClockStep(value: unknown): void {
  const step = members(value, 2, '');
  time(step, 'atMs');
  integer(step, 'stepMs', -MAX_TIME_MS, MAX_TIME_MS);
}

function checkProblem(value: unknown): void {
  const problem = members(value, 3, '');
  time(problem, 'atMs');
  text(problem, 'source', BATCH_LIMITS.nameChars);
  text(problem, 'message', BATCH_LIMITS.detailChars);
}

function checkPersonal(value: unknown): void {
  const record = members(value, 3, '');
  pattern(record, 'digest', BATCH_PATTERNS.hash);
  pattern(record, 'salt', BATCH_PATTERNS.salt);
  inside('value', () => checkPersonalValue(record['value']));
}

function checkPersonalValue(value: unknown): void {
  if (isMembers(value) && value['kind'] === 'connection') {
    members(value, 2, '');
    list(value, 'peers', BATCH_LIMITS.claims, (one) => {
      if (typeof one !== 'string' || !BATCH_PATTERNS.peer.test(one))
        throw new BadField('', 'must be address:port');
    });
    return;
  }
  const person = members(value, 4, '');
  if (person['kind'] !== 'process') throw new BadField('kind', 'must be process or connection');
  if (person['user'] !== null) wholeText(person, 'user', BATCH_LIMITS.nameChars);
  if (person['commandLine'] !== null) wholeText(person, 'commandLine', BATCH_LIMITS.commandLineChars);
  flag(person, 'commandLineCut');
}

// The checks of single members. They throw with the member's own name; `inside` and `list` put the way to it before.

function inside(field: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof BadField)) throw error;
    throw new BadField(error.field === '' ? field : `${field}.${error.field}`, error.message);
  }
}

/** An object with exactly `count` members; that each known one is there is what the other checks find. */
function members(value: unknown, count: number, field: string): Members {
  if (!isMembers(value)) throw new BadField(field, 'must be an object');
  if (Object.keys(value).length > count) throw new BadField(field, 'has members that are not known');
  return value;
}

function list(from: Members, field: string, max: number, check: (one: unknown) => void): readonly unknown[] {
  const value = from[field];
  if (!Array.isArray(value)) throw new BadField(field, 'must be a list');
  if (value.length > max) throw new BadField(field, `must hold at most ${max}`);
  for (let index = 0; index < value.length; index += 1) {
    try {
      check(value[index]);
    } catch (error) {
      if (!(error instanceof BadField)) throw error;
      throw new BadField(`${field}.${index}${error.field === '' ? '' : `.${error.field}`}`, error.message);
    }
  }
  return value;
}

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);

function integer(from: Members, field: string, min: number, max: number, message?: string): number {
  const value = from[field];
  if (!isInteger(value)) throw new BadField(field, 'must be an integer');
  if (value < min || value > max) throw new BadField(field, message ?? `must lie between ${min} and ${max}`);
  return value;
}

function checkIntegers(value: unknown, count: number, min: number, max: number): readonly number[] {
  if (!Array.isArray(value)) throw new BadField('', 'must be a list');
  if (value.length > count) throw new BadField('', `must hold at most ${count}`);
  for (const one of value) {
    if (!isInteger(one) || one < min || one > max)
      throw new BadField('', `must hold integers between ${min} and ${max}`);
  }
  return value;
}

function integers(from: Members, field: string, count: number, min: number, max: number): readonly number[] {
  let checked: readonly number[] = [];
  inside(field, () => {
    checked = checkIntegers(from[field], count, min, max);
  });
  return checked;
}

const time = (from: Members, field: string): number => integer(from, field, 0, MAX_TIME_MS);

function checkText(value: unknown, maxChars: number): string {
  if (typeof value !== 'string') throw new BadField('', 'must be text');
  if (value.length > maxChars) throw new BadField('', `must have at most ${maxChars} characters`);
  return value;
}

function text(from: Members, field: string, maxChars: number): void {
  const value = from[field];
  if (typeof value !== 'string') throw new BadField(field, 'must be text');
  if (value.length > maxChars) throw new BadField(field, `must have at most ${maxChars} characters`);
}

function wholeText(from: Members, field: string, maxChars: number): void {
  text(from, field, maxChars);
  const value = from[field];
  if (typeof value === 'string' && (!value.isWellFormed() || value.includes('\0')))
    throw new BadField(field, 'must be whole Unicode without NUL');
}

function pattern(from: Members, field: string, form: RegExp): string {
  const value = from[field];
  if (typeof value !== 'string' || !form.test(value)) throw new BadField(field, `must match ${form.source}`);
  return value;
}

function name(from: Members, field: string): void {
  const value = from[field];
  if (typeof value !== 'string' || value.length > BATCH_LIMITS.nameChars || !BATCH_PATTERNS.name.test(value))
    throw new BadField(field, `must be 1 to ${BATCH_LIMITS.nameChars} characters without control characters`);
}

function flag(from: Members, field: string): void {
  if (typeof from[field] !== 'boolean') throw new BadField(field, 'must be true or false');
}

function oneOf(from: Members, field: string, values: readonly string[]): void {
  const value = from[field];
  if (typeof value !== 'string' || !values.includes(value))
    throw new BadField(field, `must be one of ${values.join(', ')}`);
}
