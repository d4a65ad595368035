/** What ran inside a job, by executable, and the devices that it held. */
import type { JobDeviceRow, JobInsideRow } from '../../questions.ts';
import { SUM_COLUMNS } from './ledger.ts';
import type { Reader } from './reader.ts';

const ROWS_MAX = 500;

const INSIDE = `
  SELECT coalesce(p.executable_path, '[' || p.comm || ']') AS executable, e.bucket, e.reason, e.suspicious,
    count(DISTINCT e.process) AS processes, sum(CASE WHEN e.activity = 'active' THEN e.ms ELSE 0 END) AS activeMs,
    (SELECT max(f.id) FROM findings f JOIN finding_parts q ON q.finding = f.finding WHERE q.process = max(e.process)) AS finding
  FROM job_hours h CROSS JOIN entries e ON e.node = h.node AND e.hour_ms = h.hour_ms JOIN processes p ON p.process = e.process
  WHERE h.job = @job AND e.job = @job AND e.bucket IN ('used', 'unaccounted')
  GROUP BY 1, e.bucket, e.reason, e.suspicious ORDER BY activeMs DESC, 1 LIMIT ${ROWS_MAX}`;

const DEVICES = `
  SELECT n.name AS node, v.uuid AS device, v.device_index AS "index",
    max(l.assumed) = 0 AS bound,
    ${SUM_COLUMNS}
  FROM ledger_hours l JOIN nodes n ON n.node = l.node JOIN devices v ON v.device = l.device
  WHERE l.holder = @job GROUP BY l.node, l.device ORDER BY n.name, v.device_index, v.uuid LIMIT ${ROWS_MAX}`;

const USED_IN_OTHERS = `
  SELECT coalesce(sum(e.ms), 0) AS ms
  FROM job_hours h CROSS JOIN entries e ON e.node = h.node AND e.hour_ms = h.hour_ms
  WHERE h.job = @job AND e.job = @job AND e.bucket = 'used' AND e.holder IS NOT NULL AND e.holder <> @job`;

export interface JobInsideQuestions {
  usedInOthers(job: number): number;
  inside(job: number): JobInsideRow[];
  devices(job: number): JobDeviceRow[];
}

export function jobInsideQuestions(reader: Reader): JobInsideQuestions {
  const inside = reader.question<Omit<JobInsideRow, 'suspicious'> & { suspicious: number }>(INSIDE);
  const devices = reader.question<Omit<JobDeviceRow, 'bound'> & { bound: number }>(DEVICES);
  const usedInOthers = reader.question<{ ms: number }>(USED_IN_OTHERS);
  return {
    usedInOthers: (job) => usedInOthers.first({ job })?.ms ?? 0,
    inside: (job) => inside.all({ job }).map((row) => ({ ...row, suspicious: row.suspicious === 1 })),
    devices: (job) => devices.all({ job }).map((row) => ({ ...row, bound: row.bound === 1 })),
  };
}
