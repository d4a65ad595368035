/** Canned policies. */
import type { Policies, PolicyOut } from '../../api/contract/policy.ts';

const BUILT_IN: PolicyOut = {
  ...{ version: 1, from: null, reach: null, recordedAt: null, recordedBy: null },
  ...{ weakestEvidence: 'binding', endGraceMs: 30_000, selfDeclarationLeadMs: 60_000 },
  launchers: ['bash', 'env', 'sh'],
  internalRanges: [],
  approvedTunnels: [],
  exemptions: [],
};

const NOTHING = { executables: [], boundaries: [], uids: [], types: [], nodes: [], windows: [], daily: [] };
const time = { from: '2026-10-01T00:00:00.000Z', until: '2027-06-30T00:00:00.000Z' };
const EXEMPT: PolicyOut = {
  ...BUILT_IN,
  version: 2,
  from: time.from,
  recordedAt: '2026-10-01T00:00:11.000Z',
  recordedBy: 'local admin',
  exemptions: [
    {
      ...{ id: 'dcgm-diagnosis', job: 'j_00000000000000d1', owner: 'operations', account: 'site-overhead' },
      ...{ reason: 'Diagnosis of drained nodes', ...time },
      match: {
        ...NOTHING,
        executables: ['/usr/share/nvidia-validation-suite/nvvs'],
        boundaries: ['systemd:/system.slice/nvidia-dcgm.service'],
        uids: [0],
      },
    },
    {
      ...{ id: 'displays', job: 'j_00000000000000d2', owner: 'desktops', account: 'site-overhead' },
      ...{ reason: 'Display servers of workstations', ...time },
      match: { ...NOTHING, types: ['G'], nodes: ['ws-1', 'ws-2'], daily: [{ from: '06:00', to: '20:00' }] },
    },
  ],
};

export const NO_POLICY: Policies = { current: BUILT_IN, items: [BUILT_IN] };
export const POLICIES: Policies = { current: EXEMPT, items: [EXEMPT, BUILT_IN] };
