/** Which MIG instance a process is in. Only reports tell, and they are long: asked again when the contexts change. */
import type { Executed } from '../../ports.ts';
import { type Answer, LONG_ANSWER_BYTES } from './call.ts';
import type { ComputeAppsOutput } from './compute-apps.ts';
import type { ParsedDevice } from './parsed.ts';
import { readReport } from './report.ts';
import type { XmlOutput } from './xml.ts';

export interface Instances {
  /** A report of these devices at least, not older than `INSTANCES_MS` and with the contexts of this poll. */
  of(
    devices: readonly ParsedDevice[],
    apps: Answer<ComputeAppsOutput>,
    atMs: number,
  ): Promise<Answer<XmlOutput>>;
  /** The partition may be another. */
  forget(): void;
}

/** While the contexts on MIG devices stay the same, their instances are looked at this often. */
const INSTANCES_MS = 30_000;

export function createInstances(
  smi: (args: readonly string[], maxBytes: number) => Promise<Executed>,
): Instances {
  let wholeReportOnly = false;
  let joined: { answer: Answer<XmlOutput>; key: string; atMs: number } | null = null;
  return {
    forget: () => {
      joined = null;
    },
    async of(
      devices: readonly ParsedDevice[],
      apps: Answer<ComputeAppsOutput>,
      atMs: number,
    ): Promise<Answer<XmlOutput>> {
      const uuids = new Set(devices.map(({ uuid }) => uuid));
      const contexts = new Set(
        (apps.ok ? apps.output.processes : []).flatMap(({ device, pid }) =>
          uuids.has(device) ? [`${device} ${typeof pid === 'number' ? pid : ''}`] : [],
        ),
      );
      const key = [...uuids, ...[...contexts].sort()].join('\n');
      if (joined !== null && joined.key === key && atMs - joined.atMs < INSTANCES_MS) return joined.answer;
      const ids = devices.flatMap(({ index }) => (typeof index === 'number' ? [index] : []));
      const only = wholeReportOnly || ids.length < devices.length ? [] : ['-i', ids.join(',')];
      let answer = readReport(await smi(['-q', '-x', ...only], LONG_ANSWER_BYTES));
      const lacks = answer.ok
        ? [...uuids].some((uuid) => !has(answer, uuid))
        : answer.reason !== 'tool_timeout';
      if (lacks && only.length > 0) {
        const all = readReport(await smi(['-q', '-x'], LONG_ANSWER_BYTES));
        if (all.ok) wholeReportOnly = true;
        answer = all;
      }
      const known =
        answer.ok && answer.output.processes.every(({ device, pid }) => contexts.has(`${device} ${pid}`));
      joined = known ? { answer, key, atMs } : null;
      return answer;
    },
  };
}

const has = (answer: Answer<XmlOutput>, uuid: ParsedDevice['uuid']): boolean =>
  answer.ok && answer.output.devices.some((device) => device.uuid === uuid);
