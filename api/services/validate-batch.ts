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
  INTEGRITY_KINDS,
  PEER_CLASSES,
  SPLIT_METHODS,
  TOOL_ROLES,
} from '../contract/batch.ts';
import { BATCH_PATTERNS, CONNECTION_KINDS, MAX_TIME_MS } from '../contract/batch-schema.ts';
import { GRANT_LIMITS } from '../contract/grants.ts';
import {
  BadField,
  checkIntegers,
  checkName,
  checkText,
  count,
  flag,
  inside,
  integer,
  integers,
  isMembers,
  list,
  type Members,
  members,
  name,
  oneOf,
  pattern,
  seenFromTo,
  text,
  time,
  wholeText,
} from './check-members.ts';

/** Throws `BadField` unless `value` is a batch request. Says nothing of hashes: ingest recomputes those. */
export function checkBatchRequest(value: unknown): asserts value is BatchRequest {
  const request = members(value, 1, 'body');
  const batches = list(request, 'batches', BATCH_LIMITS.batchesPerRequest, checkBatch);
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
  const signed = isMembers(value) && Object.hasOwn(value, 'signature');
  const batch = members(value, signed ? 4 : 3, '');
  inside('body', () => checkBody(batch['body']));
  pattern(batch, 'hash', BATCH_PATTERNS.hash);
  list(batch, 'personal', BATCH_LIMITS.processes + BATCH_LIMITS.connections, checkPersonal);
  if (batch['signature'] !== undefined) inside('signature', () => checkSignature(batch['signature']));
}

function checkSignature(value: unknown): void {
  const signature = members(value, 2, '');
  pattern(signature, 'key', BATCH_PATTERNS.hash);
  pattern(signature, 'value', BATCH_PATTERNS.signature);
}

function checkBody(value: unknown): void {
  const grants = isMembers(value) && Object.hasOwn(value, 'grants');
  const body = members(value, grants ? 26 : 25, '');
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
  list(body, 'accounted', BATCH_LIMITS.accounted, checkAccounted);
  list(body, 'holders', BATCH_LIMITS.holders, checkHolder);
  list(body, 'dials', BATCH_LIMITS.dials, checkDial);
  list(body, 'integrity', BATCH_LIMITS.integrity, checkIntegrity);
  if (body['tools'] !== null) list(body, 'tools', BATCH_LIMITS.tools, checkTool);
  if (body['host'] !== null) inside('host', () => checkHost(body['host']));
  if (grants && body['grants'] !== undefined) inside('grants', () => checkGrants(body['grants']));
  list(body, 'clockSteps', BATCH_LIMITS.problems, checkClockStep);
  list(body, 'problems', BATCH_LIMITS.problems, checkProblem);
}

function checkDevice(value: unknown): void {
  const device = members(value, 10, '');
  name(device, 'uuid');
  integer(device, 'index', 0, 65_535);
  if (device['minor'] !== null) integer(device, 'minor', 0, 65_535);
  name(device, 'busId');
  name(device, 'model');
  count(device, 'memoryBytes');
  count(device, 'powerLimitMilliwatts');
  flag(device, 'migEnabled');
  if (device['slices'] !== null) integer(device, 'slices', 1, BATCH_LIMITS.instances);
  list(device, 'instances', BATCH_LIMITS.instances, checkInstance);
}

function checkInstance(value: unknown): void {
  const instance = members(value, 5, '');
  if (instance['uuid'] !== null) name(instance, 'uuid');
  integer(instance, 'gpuInstance', 0, 65_535);
  integer(instance, 'computeInstance', 0, 65_535);
  if (instance['profile'] !== null) name(instance, 'profile');
  if (instance['slices'] !== null) integer(instance, 'slices', 1, BATCH_LIMITS.instances);
}

function checkExecutable(value: unknown): void {
  const executable = members(value, 5, '');
  text(executable, 'path', BATCH_LIMITS.pathChars);
  if (executable['device'] !== null) text(executable, 'device', BATCH_LIMITS.nameChars);
  if (executable['inode'] !== null) text(executable, 'inode', BATCH_LIMITS.nameChars);
  flag(executable, 'deleted');
  if (executable['fileSystem'] !== null) name(executable, 'fileSystem');
}

function checkClaim(value: unknown): void {
  const claim = members(value, 2, '');
  name(claim, 'name');
  text(claim, 'value', BATCH_LIMITS.detailChars);
}

function checkProcess(value: unknown): void {
  const executed = isMembers(value) && Object.hasOwn(value, 'executedMs');
  const process = members(value, executed ? 21 : 20, '');
  const key = pattern(process, 'key', BATCH_PATTERNS.processKey);
  const pid = integer(process, 'pid', 0, 2 ** 32);
  if (!key.startsWith(`${pid}/`)) throw new BadField('key', 'must start with the pid');
  if (process['startTicks'] !== null) integer(process, 'startTicks', 0, Number.MAX_SAFE_INTEGER);
  if (process['startedMs'] !== null) time(process, 'startedMs');
  if (process['parent'] !== null) pattern(process, 'parent', BATCH_PATTERNS.processKey);
  if (process['uid'] !== null) integer(process, 'uid', 0, 2 ** 32);
  if (process['loginUid'] !== null) integer(process, 'loginUid', 0, 2 ** 32);
  if (process['sessionId'] !== null) integer(process, 'sessionId', 0, 2 ** 32);
  if (process['namespaces'] !== null) inside('namespaces', () => checkNamespaces(process['namespaces']));
  text(process, 'comm', BATCH_LIMITS.nameChars);
  if (process['executable'] !== null) inside('executable', () => checkExecutable(process['executable']));
  text(process, 'cgroup', BATCH_LIMITS.cgroupChars);
  list(process, 'earlierCgroups', BATCH_LIMITS.claims, (one) => checkText(one, BATCH_LIMITS.cgroupChars));
  list(process, 'earlierExecutables', BATCH_LIMITS.claims, checkExecutable);
  if (process['executedMs'] !== undefined) time(process, 'executedMs');
  list(process, 'claims', BATCH_LIMITS.claims, checkClaim);
  if (process['argumentsDigest'] !== null) pattern(process, 'argumentsDigest', BATCH_PATTERNS.hash);
  list(process, 'unreadable', BATCH_LIMITS.claims, (one) => checkText(one, BATCH_LIMITS.detailChars));
  time(process, 'firstSeenMs');
  if (process['exitedMs'] !== null) time(process, 'exitedMs');
  if (process['personal'] !== null) pattern(process, 'personal', BATCH_PATTERNS.hash);
}

function checkNamespaces(value: unknown): void {
  const namespaces = members(value, 4, '');
  for (const kind of ['pid', 'net', 'mnt', 'user']) integer(namespaces, kind, 0, Number.MAX_SAFE_INTEGER);
}

function checkTenant(value: unknown): void {
  const tenant = members(value, 4, '');
  pattern(tenant, 'process', BATCH_PATTERNS.processKey);
  text(tenant, 'type', 16);
  count(tenant, 'memoryBytes');
  if (tenant['gpuInstance'] !== null) integer(tenant, 'gpuInstance', 0, 65_535);
}

function checkPart(value: unknown): void {
  const part = members(value, 2, '');
  integer(part, 'gpuInstance', 0, 65_535);
  integer(part, 'slices', 1, BATCH_LIMITS.instances);
}

function checkTenancy(value: unknown, fromMs: number, toMs: number): void {
  const tenancy = members(value, 9, '');
  name(tenancy, 'device');
  const tenants = list(tenancy, 'tenants', BATCH_LIMITS.tenantsPerTenancy, checkTenant);
  const startMs = integer(tenancy, 'startMs', fromMs, toMs, 'must lie within the batch');
  const lengths = integers(tenancy, 'lengthMs', BATCH_LIMITS.spansPerTenancy, 1, HOUR_MS);
  if (lengths.length === 0) throw new BadField('lengthMs', 'must hold at least one span');
  let endMs = startMs;
  for (const lengthMs of lengths) endMs += lengthMs;
  if (endMs > toMs) throw new BadField('lengthMs', 'must not reach beyond the batch');
  oneOf(tenancy, 'method', SPLIT_METHODS);
  const parts = list(tenancy, 'partition', BATCH_LIMITS.instances, checkPart);
  if (new Set(parts.map((part) => (isMembers(part) ? part['gpuInstance'] : null))).size !== parts.length)
    throw new BadField('partition', 'names an instance twice');
  const conflicts = integers(tenancy, 'conflictMs', BATCH_LIMITS.spansPerTenancy, 0, HOUR_MS);
  if (tenancy['activeMs'] === null) {
    for (const field of ['shareMs', 'conflictMs'])
      if (list(tenancy, field, BATCH_LIMITS.spansPerTenancy, () => undefined).length > 0)
        throw new BadField(field, 'must be empty where activeMs is null');
    return;
  }
  const active = integers(tenancy, 'activeMs', BATCH_LIMITS.spansPerTenancy, 0, HOUR_MS);
  if (active.length !== lengths.length) throw new BadField('activeMs', 'must be as long as lengthMs');
  if (active.some((ms, index) => ms > (lengths[index] ?? 0)))
    throw new BadField('activeMs', 'must not exceed the length of its span');
  if (conflicts.length > 0 && conflicts.length !== lengths.length)
    throw new BadField('conflictMs', 'must be empty or as long as lengthMs');
  if (conflicts.some((ms, index) => ms + (active[index] ?? 0) > (lengths[index] ?? 0)))
    throw new BadField('conflictMs', 'must not exceed what is not active');
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
  seenFromTo(connection);
  integer(connection, 'peers', 0, Number.MAX_SAFE_INTEGER);
  if (connection['personal'] !== null) pattern(connection, 'personal', BATCH_PATTERNS.hash);
}

function checkAccounted(value: unknown): void {
  const accounted = members(value, 7, '');
  name(accounted, 'device');
  pattern(accounted, 'process', BATCH_PATTERNS.processKey);
  time(accounted, 'openMs');
  if (accounted['busyPercent'] !== null) integer(accounted, 'busyPercent', 0, 100);
  count(accounted, 'maxMemoryBytes');
  const afterMs = time(accounted, 'afterMs');
  integer(accounted, 'seenMs', afterMs, MAX_TIME_MS, 'must not lie before afterMs');
}

function checkHolder(value: unknown): void {
  const holder = members(value, 4, '');
  name(holder, 'device');
  pattern(holder, 'process', BATCH_PATTERNS.processKey);
  seenFromTo(holder);
}

function checkDial(value: unknown): void {
  const dial = members(value, 6, '');
  pattern(dial, 'process', BATCH_PATTERNS.processKey);
  for (const field of ['netNamespace', 'attempts', 'failed'])
    integer(dial, field, 0, Number.MAX_SAFE_INTEGER);
  const fromMs = time(dial, 'fromMs');
  integer(dial, 'toMs', fromMs, MAX_TIME_MS, 'must not lie before fromMs');
}

function checkIntegrity(value: unknown): void {
  const fact = members(value, 6, '');
  oneOf(fact, 'kind', INTEGRITY_KINDS);
  if (fact['device'] !== null) name(fact, 'device');
  if (fact['process'] !== null) pattern(fact, 'process', BATCH_PATTERNS.processKey);
  text(fact, 'detail', BATCH_LIMITS.detailChars);
  seenFromTo(fact);
}

function checkTool(value: unknown): void {
  const tool = members(value, 8, '');
  oneOf(tool, 'role', TOOL_ROLES);
  text(tool, 'path', BATCH_LIMITS.pathChars);
  if (tool['device'] !== null) text(tool, 'device', BATCH_LIMITS.nameChars);
  if (tool['inode'] !== null) text(tool, 'inode', BATCH_LIMITS.nameChars);
  if (tool['ownerUid'] !== null) integer(tool, 'ownerUid', 0, 2 ** 32);
  count(tool, 'sizeBytes');
  if (tool['sha256'] !== null) pattern(tool, 'sha256', BATCH_PATTERNS.hash);
  if (tool['version'] !== null) name(tool, 'version');
}

function checkHost(value: unknown): void {
  const host = members(value, 6, '');
  for (const field of ['operatingSystem', 'kernel', 'processor', 'virtualisation'])
    if (host[field] !== null) name(host, field);
  count(host, 'cores');
  count(host, 'memoryBytes');
}

function checkGrants(value: unknown): void {
  const fact = members(value, 3, '');
  time(fact, 'atMs');
  let ids = 0;
  list(fact, 'grants', GRANT_LIMITS.grants, (one) => {
    const grant = members(one, 5, '');
    for (const field of ['namespace', 'pod', 'container', 'resource']) name(grant, field);
    ids += list(grant, 'ids', GRANT_LIMITS.idsPerGrant, checkName).length;
  });
  if (ids > GRANT_LIMITS.ids) throw new BadField('grants', `must hold at most ${GRANT_LIMITS.ids} ids`);
  list(fact, 'replicas', GRANT_LIMITS.replicas, (one) => {
    const replica = members(one, 2, '');
    name(replica, 'device');
    integer(replica, 'count', 1, 65_535);
  });
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
