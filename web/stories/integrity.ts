/** Canned files through which GPUs are read: most nodes agree, one does not, and one has no library. */
import type { FleetIntegrity, NodeDetail, ToolOut } from '../../api/contract/integrity.ts';
import type { NodeKeyList } from '../../api/contract/keys.ts';
import { at, HOUR_MS } from './facts.ts';
import { NODES } from './fleet.ts';

const SMI = '5f0c6f5d5d4c1d5e0b3d7c66b7f8a9123efc09218acb54a1d2e7cc01fb65d3aa';
const LIBRARY = 'c1a04de2f7b70f1180a1bb34925d4ef0b8a61f0e93cb1a3ff94c0d7b21e5d902';
const OTHER = 'e9d1170b53f1a2c84bb0c33a1c5ae7bb90d7fe4f1f31e60a6a20b1b8a7e4c111';
const DRIVER = '550.54.15';

const tool = (role: ToolOut['role'], path: string, sha256: string, version: string | null): ToolOut => ({
  ...{ role, path, device: '8:1', inode: '131412', ownerUid: 0, sizeBytes: 1_998_400, sha256, version },
});

function toolsOf(name: string): ToolOut[] | null {
  if (name === 'gpu-b-04') return null;
  const smi = name === 'gpu-a-07' ? OTHER : SMI;
  const library = '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.54.15';
  return [
    { ...tool('nvidia_smi', '/usr/bin/nvidia-smi', smi, null), ownerUid: smi === OTHER ? 1007 : 0 },
    ...(name === 'gpu-b-02' ? [] : [tool('libnvidia_ml', library, LIBRARY, DRIVER)]),
  ];
}

export const NODE_DETAILS: readonly NodeDetail[] = NODES.map((node) => ({
  ...node,
  tools: toolsOf(node.name),
  toolsListedAt: node.name === 'gpu-b-04' ? null : at(12 * 60_000),
  conditions:
    node.name === 'gpu-b-02'
      ? [
          {
            ...{
              source: 'slurm',
              sourceInstance: 'main',
              condition: 'drained',
              reason: 'GPU 3: row remap failed',
            },
            ...{ from: at(9 * 3_600_000), to: null },
          },
        ]
      : [],
  reasons: node.name === 'gpu-b-02' ? [{ bucket: 'idle', condition: 'drained', ms: 61 * 3_600_000 }] : [],
  host:
    node.name === 'gpu-b-04'
      ? null
      : {
          operatingSystem: 'Ubuntu 22.04.4 LTS',
          kernel: '5.15.0-105-generic',
          processor: 'AMD EPYC 9654 96-Core Processor',
          cores: 192,
          memoryBytes: 1_536 * 2 ** 30,
          virtualisation: null,
        },
}));

const group = { driverVersion: DRIVER, nodes: 11 };
const most = (nodes: number) => ({ usual: true, nodes, names: ['gpu-a-01', 'gpu-a-02', 'gpu-a-03'] });

export const INTEGRITY: FleetIntegrity = {
  ok: false,
  nodes: 11,
  groups: [
    {
      ...{ role: 'nvidia_smi', ...group },
      variants: [
        { files: [{ sha256: SMI, version: null }], ...most(10) },
        { files: [{ sha256: OTHER, version: null }], usual: false, nodes: 1, names: ['gpu-a-07'] },
      ],
    },
    {
      ...{ role: 'libnvidia_ml', ...group },
      variants: [
        { files: [{ sha256: LIBRARY, version: DRIVER }], ...most(10) },
        { files: [], usual: false, nodes: 1, names: ['gpu-b-02'] },
      ],
    },
  ],
  differing: {
    nodes: 2,
    items: [
      { node: 'gpu-a-07', role: 'nvidia_smi', driverVersion: DRIVER },
      { node: 'gpu-b-02', role: 'libnvidia_ml', driverVersion: DRIVER },
    ],
  },
  withoutLibrary: { nodes: 1, names: ['gpu-b-02'] },
  unlisted: { nodes: 1, names: ['gpu-b-03'] },
};

/** The same fleet, with every node as most are. */
export const AGREED: FleetIntegrity = {
  ...INTEGRITY,
  ok: true,
  groups: INTEGRITY.groups.map((one) => ({
    ...one,
    variants: one.variants.slice(0, 1).map((variant) => ({ ...variant, nodes: 11 })),
  })),
  differing: { nodes: 0, items: [] },
  withoutLibrary: { nodes: 0, names: [] },
  unlisted: { nodes: 0, names: [] },
};

export const NOTHING_LISTED: FleetIntegrity = { ...AGREED, nodes: 0, groups: [] };

/** A node that was installed anew, and that somebody must still say something of. */
export function keysOf(node: string): NodeKeyList {
  const key = { node, firstUsed: at(30 * 24 * HOUR_MS), recorded: at(30 * 24 * HOUR_MS), recordedBy: node };
  const items = [
    { ...key, key: 'a1'.repeat(32), first: true, accepted: null, waiting: false },
    { ...key, key: 'b2'.repeat(32), first: false, firstUsed: at(HOUR_MS), accepted: null, waiting: true },
  ];
  return { keys: items.length, items };
}
