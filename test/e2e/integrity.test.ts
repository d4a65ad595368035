/** How a node is read, end to end: the real agent says which tool it asks, and a pid that only the tool knows becomes a finding. */
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FleetIntegrity, NodeDetail } from '../../api/contract/integrity.ts';
import { type Program, until } from './processes.ts';
import { createSite, DEVICES, NODE, type Site } from './site.ts';

/** Above what the kernel gives out where this is tested, and no process anywhere. */
const NOBODY = 4_194_301;

/** In a pid namespace of its own an agent says nothing of pids that it cannot see. */
const wholeMachine = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';

let site: Site;
let agent: Program;
beforeAll(async () => {
  site = await createSite();
  site.nvidiaSmi.setProcesses([{ device: DEVICES[0], pid: NOBODY, sm: 90, memoryBytes: 1 }]);
  agent = site.startAgent();
});
afterAll(() => site?.stop());

test('the tool is listed with its content, and stands in the fleet', async () => {
  const tools = await until(
    'the tools of the node',
    async () => (await site.get<NodeDetail>(`/v1/nodes/${NODE}`).catch(() => null))?.tools ?? null,
    30_000,
    agent.output,
  );
  const path = realpathSync(site.nvidiaSmi.path);
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
  expect(tools).toContainEqual(expect.objectContaining({ role: 'nvidia_smi', path, sha256 }));
  const { groups } = await site.get<FleetIntegrity>('/v1/integrity');
  expect(groups[0]).toMatchObject({ role: 'nvidia_smi', nodes: 1, variants: [{ files: [{ sha256 }] }] });
});

test.runIf(wholeMachine)('a pid that the tool names and /proc does not show is a finding', async () => {
  const hidden = await until(
    'the hidden process',
    async () => (await site.findings()).find((one) => one.reason === 'process_hidden') ?? null,
    30_000,
    agent.output,
  );
  expect(hidden).toMatchObject({ kind: 'integrity', severity: 'warn', activeMs: 0, source: { pid: NOBODY } });
  const { story } = await site.finding(hidden.id);
  expect(story.observed.join('\n')).toContain(`names pid ${NOBODY}, which /proc does not show`);
});
