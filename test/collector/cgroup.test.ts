import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cgroupOwner } from '../../api/contract/cgroup.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const POD = '0a1b2c3d-1111-2222-3333-444455556666';
const POD_ = POD.replaceAll('-', '_');
const KIND = '/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice';
const v2 = (path: string): string => `0::${path}\n`;
const boundary = (text: string): string | null => cgroupOwner(text)?.boundary ?? null;

describe('Slurm', () => {
  it('reads v1 by the controllers that name the job', () => {
    const text = [
      '11:cpuset:/',
      '6:freezer:/slurm_n1/uid_1000/job_81',
      '5:devices:/slurm_n1/uid_1000/job_81/step_batch/task_3',
      '0::/system.slice/slurmd.service',
    ].join('\n');
    expect(cgroupOwner(text)).toEqual({
      kind: 'slurm',
      id: '81',
      boundary: 'slurm:81',
      step: 'batch',
      task: '3',
      node: 'n1',
      uid: 1000,
      sluid: null,
    });
  });

  it('lets the v2 path win over v1, and freezer over the rest', () => {
    const freezer = '6:freezer:/slurm/uid_1/job_2/step_0';
    const memory = '4:memory:/slurm/uid_1/job_3/step_0';
    expect(boundary([memory, freezer].join('\n'))).toBe('slurm:2');
    const unified = '0::/system.slice/slurmstepd.scope/job_4/step_extern/slurm';
    expect(boundary([memory, freezer, unified].join('\n'))).toBe('slurm:4');
  });

  it('reads v2 with several slurmd, another slice and a removed cgroup', () => {
    expect(cgroupOwner(v2('/system.slice/n7_slurmstepd.scope/job_15/step_2/user/task_9'))).toMatchObject({
      id: '15',
      step: '2',
      task: '9',
      node: 'n7',
    });
    expect(boundary(v2('/batch.slice/slurmstepd.scope/job_15/step_2 (deleted)'))).toBe('slurm:15');
    expect(cgroupOwner(v2('/system.slice/slurmstepd.scope/system'))?.kind).toBe('systemd');
  });

  it('decodes a SLUID beyond 2^53 exactly', () => {
    expect(cgroupOwner(v2('/system.slice/slurmstepd.scope/s8SHM83NVZ5B00/step_batch'))).toMatchObject({
      kind: 'slurm',
      id: '10143944870846442496',
      boundary: 'slurm-sluid:10143944870846442496',
      sluid: 's8SHM83NVZ5B00',
      step: 'batch',
    });
    expect(boundary(v2('/system.slice/slurmstepd.scope/sZZZZZZZZZZZZZ/step_batch'))).toBe(
      'systemd:/system.slice/slurmstepd.scope',
    );
  });

  it('reads each version of the path only where that version writes it', () => {
    expect(cgroupOwner(v2('/slurm/uid_1/job_2/step_0'))).toBeNull();
    expect(cgroupOwner('4:memory:/system.slice/slurmstepd.scope/job_2/step_0')?.kind).toBe('systemd');
  });
});

describe('Kubernetes', () => {
  it.each([
    `/kubepods/pod${POD}/${A}`,
    `/kubepods/burstable/pod${POD}/crio-${A}`,
    `/kubepods.slice/kubepods-pod${POD_}.slice/docker-${A}.scope`,
    `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/cri-containerd-${A}.scope`,
    `${KIND}/kubelet-kubepods-burstable-pod${POD_}.slice/cri-containerd-${A}.scope`,
    `/system.slice/containerd.service/kubepods-burstable-pod${POD_}.slice:cri-containerd:${A}`,
    `/../../kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${A}.scope`,
    `/../../pod${POD}/${A}`,
    `/kubepods/burstable/pod${POD}/${A}/system.slice/slurmstepd.scope/job_1/step_0`,
  ])('%s', (path) => {
    const owner = {
      kind: 'kubernetes',
      id: POD,
      boundary: `kubernetes:${POD}`,
      container: A,
    };
    expect(cgroupOwner(v2(path))).toEqual(owner);
    expect(cgroupOwner(`9:memory:${path}`)).toEqual(owner);
  });

  it('reads static pods, and pods whose container it cannot tell', () => {
    const hash = '0123456789abcdef0123456789abcdef';
    expect(boundary(v2(`/kubepods/besteffort/pod${hash}/${A}`))).toBe(`kubernetes:${hash}`);
    expect(cgroupOwner(v2(`/kubepods/pod${POD}/crio-conmon-${A}`))).toMatchObject({
      id: POD,
      container: null,
    });
    const strange = `/system.slice/containerd.service/kubepods-pod${POD_}.slice:cri-containerd:12ab`;
    expect(cgroupOwner(v2(strange))).toMatchObject({ id: POD, container: null });
    expect(cgroupOwner(v2('/kubepods'))).toBeNull();
  });
});

describe('containers, PBS, units and sessions', () => {
  it.each([
    [`/docker/${A}`, `docker:${A}`],
    [`/docker/${A}/docker/${B}`, `docker:${A}`],
    [`/system.slice/docker-${A}.scope/init`, `docker:${A}`],
    [`/custom.slice/docker-${A}.scope`, `docker:${A}`],
    [`/libpod_parent/libpod-${A}`, `podman:${A}`],
    [`/machine.slice/libpod-${A}.scope/container`, `podman:${A}`],
    [`/machine.slice/libpod-conmon-${A}.scope`, `systemd:/machine.slice/libpod-conmon-${A}.scope`],
    [`/libpod_parent/${B}/libpod-${A}`, `podman:${A}`],
    [`/k8s.io/${A}`, `container:${A}`],
    ['/ecs/0123456789abcdef0123456789abcdef-77', 'container:0123456789abcdef0123456789abcdef-77'],
    [`/ecs/0123456789abcdef0123456789abcdef/${A}`, `container:${A}`],
    [`/../cri-containerd-${A}.scope`, `container:${A}`],
    ['/pbs_jobs.service/jobid/12[3].server', 'pbs:12[3].server'],
    ['/pbspro/12.server', 'pbs:12.server'],
    ['/torque/12.server', 'pbs:12.server'],
    ['/lsf/cluster1/job.8812.12345.1700000000', 'lsf:8812'],
    ['/lsf/cluster1', null],
    ['/lsf/job.8812.1.2', null],
    ['/oar.slice/oar-u1000.slice/oar-u1000-j45670.slice/oar-u1000-j45670-s1.scope', 'oar:45670'],
    ['/oar.slice/oar-u1000.slice/oar-u1000-j45670', 'oar:45670'],
    ['/oar.slice/oar-u1000.slice/oar-u7-j1.slice', null],
    ['/oar/alice_45670', 'oar:45670'],
    ['/oar/alice', null],
    ['/system.slice/train.service/worker', 'systemd:/system.slice/train.service'],
    ['/system.slice/system-foo.slice/foo@1.service', 'systemd:/system.slice/system-foo.slice/foo@1.service'],
    ['/init.scope', 'systemd:/init.scope'],
    ['/docker/short', null],
    [`/docker/${A}.suffix`, null],
    ['/', null],
    ['/../..', null],
  ])('%s is %s', (path, expected) => {
    expect(boundary(v2(path))).toBe(expected);
  });

  it('reads sessions and the units that users start', () => {
    expect(cgroupOwner(v2('/user.slice/user-2001.slice/session-3.scope'))).toMatchObject({
      kind: 'user_session',
      uid: 2001,
      session: '3',
    });
    const rootless = (scope: string) => v2(`/user.slice/user-7.slice/user@7.service/user.slice/${scope}`);
    expect(cgroupOwner(rootless(`libpod-${A}.scope/container`))?.container).toBe(A);
    expect(cgroupOwner(rootless(`libpod-conmon-${A}.scope`))?.container).toBeNull();
    const unit = '/user.slice/user-7.slice/user@7.service/app.slice/train.service';
    expect(cgroupOwner(v2(`${unit}/sub`))).toMatchObject({
      kind: 'user_session',
      boundary: `systemd:${unit}`,
      uid: 7,
    });
  });
});

describe('forgery', () => {
  const inside = [
    '/system.slice/slurmstepd.scope/job_42/step_0',
    '/slurm/uid_0/job_42/step_0',
    `/docker/${A}`,
    `/kubepods/pod${POD}/${A}`,
    `/libpod-${A}.scope`,
    '/pbs_jobs.service/jobid/42.server',
    '/lsf/c/job.42.1.1',
    '/oar.slice/oar-u0.slice/oar-u0-j42.slice',
    '/system.slice/other.service',
  ];
  const outer = [
    ['/user.slice/user-2001.slice/user@2001.service', 'user_session'],
    [`/system.slice/docker-${B}.scope`, 'docker'],
    [`/docker/${B}`, 'docker'],
    ['/system.slice/mine.service', 'systemd'],
  ] as const;
  it.each(outer)('what stands below %s belongs to it', (path, kind) => {
    for (const forged of inside) {
      for (const line of [v2(path + forged), `4:memory:${path}${forged}`]) {
        const owner = cgroupOwner(line);
        expect(owner?.kind).toBe(kind);
        // A session's own units keep their names, below the slice that only root can make.
        if (kind === 'user_session')
          expect(owner?.boundary).toContain('systemd:/user.slice/user-2001.slice/');
        else expect(owner?.boundary).not.toMatch(/42|a{64}|other/);
      }
    }
  });

  it('a job that starts a container keeps it', () => {
    const path = `/system.slice/slurmstepd.scope/job_77/step_batch/user/task_0/libpod-${A}.scope`;
    expect(boundary(v2(path))).toBe('slurm:77');
  });
});

it('accepts any text', () => {
  const folder = fc.constantFrom(
    '..',
    '',
    'user.slice',
    'system.slice',
    'slurmstepd.scope',
    'job_1',
    'docker',
    A,
    'kubepods',
    `pod${POD}`,
    'a'.repeat(300),
  );
  const line = fc.tuple(
    fc.constantFrom('0:', '4:memory', '6:freezer', 'x:'),
    fc.array(folder, { maxLength: 12 }),
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc
      .array(
        line.map(([head, folders]) => `${head}:/${folders.join('/')}`),
        { maxLength: 5 },
      )
      .map((lines) => lines.join('\n')),
  );
  fc.assert(
    fc.property(text, (any) => {
      const owner = cgroupOwner(any);
      expect(owner === null || owner.boundary.length > 2).toBe(true);
    }),
    { numRuns: 500 },
  );
  expect(cgroupOwner(`0::/${'a-'.repeat(1_000_000)}`)).toBeNull();
  expect(cgroupOwner('0::/system.slice/x.service\n'.repeat(100_000))?.kind).toBe('systemd');
});

const corpus = new URL('../../../shared/corpus/cgroup/', import.meta.url);
describe.skipIf(!existsSync(corpus))('public samples', () => {
  const index = existsSync(corpus) ? readFileSync(new URL('INDEX.tsv', corpus), 'utf8') : '';
  const rows = index
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => row.split('\t'));
  it.each(rows)('%s is %s %s', (file = '', kind = '', ids = '') => {
    const owner = cgroupOwner(readFileSync(new URL(file, corpus), 'utf8'));
    if (kind.startsWith('none')) {
      // No job and no container; a plain unit or session may still be there.
      expect(['systemd', 'user_session', undefined]).toContain(owner?.kind);
      return;
    }
    expect(owner?.kind).toBe(kind.replace('-', '_'));
    const expected = Object.fromEntries(
      [...ids.matchAll(/(\w+)=(\S+)/g)].map(([, key, value]) => [key, value]),
    );
    const { job, pod, sluid, container, step, node, task, uid, session } = expected;
    const id = job ?? pod ?? (sluid === undefined ? container : undefined);
    if (id !== undefined) expect(owner?.id).toBe(id);
    for (const [key, value] of Object.entries({ sluid, container, step, node, task, session }))
      if (value !== undefined) expect(owner).toMatchObject({ [key]: value });
    if (uid !== undefined) expect(owner?.uid).toBe(Number(uid));
  });
});
