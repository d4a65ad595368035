// Nobody changes whose they are from below: the outermost owner wins, in any order of lines.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cgroupOwner } from '../../api/contract/cgroup.ts';

const RUNS = { numRuns: 400 };
const hex = (digits: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`));
const id = fc.nat(99_999_999).map(String);

/** Folders that anybody may name below a group of their own, among them all that owners are known by. */
const folder = fc.oneof(
  fc.constantFrom(
    'slurm',
    'uid_0',
    'job_1',
    'step_0',
    'task_0',
    'user',
    'system.slice',
    'slurmstepd.scope',
    'kubepods',
    'kubepods.slice',
  ),
  fc.constantFrom(
    'docker',
    'user.slice',
    'user-0.slice',
    'session-1.scope',
    'init.scope',
    'a.service',
    'pbs_jobs',
    'machine.slice',
    '..',
    '.',
    '',
  ),
  hex(64),
  hex(64).map((text) => `docker-${text}.scope`),
  fc.uuid().map((text) => `pod${text}`),
  fc.string({ maxLength: 12 }).map((text) => text.replaceAll(/[\n/]/g, '')),
);
const below = fc.array(folder, { maxLength: 6 }).map((folders) => folders.map((name) => `/${name}`).join(''));

interface Owned {
  readonly path: string;
  readonly kind: string;
  readonly boundary: string;
  readonly unified: boolean;
}
const owned = (path: string, kind: string, boundary: string, unified = true): Owned => ({
  path,
  kind,
  boundary,
  unified,
});
const owner: fc.Arbitrary<Owned> = fc.oneof(
  fc.tuple(id, id).map(([job, uid]) => owned(`/slurm/uid_${uid}/job_${job}`, 'slurm', `slurm:${job}`, false)),
  id.map((job) => owned(`/system.slice/slurmstepd.scope/job_${job}`, 'slurm', `slurm:${job}`)),
  hex(64).map((text) => owned(`/system.slice/docker-${text}.scope`, 'docker', `docker:${text}`)),
  hex(64).map((text) => owned(`/docker/${text}`, 'docker', `docker:${text}`)),
  fc.uuid().map((uid) => owned(`/kubepods/burstable/pod${uid}`, 'kubernetes', `kubernetes:${uid}`)),
  fc
    .uuid()
    .map((uid) =>
      owned(
        `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`,
        'kubernetes',
        `kubernetes:${uid}`,
      ),
    ),
  fc
    .stringMatching(/^[a-z]{1,8}$/)
    .map((name) =>
      owned(`/system.slice/x-${name}.service`, 'systemd', `systemd:/system.slice/x-${name}.service`),
    ),
);
const lineOf = ({ path, unified }: Owned, suffix: string): string =>
  unified ? `0::${path}${suffix}` : `9:freezer:${path}${suffix}`;

describe('the owner of a control group', () => {
  it('stays the same whatever is made below it', () => {
    fc.assert(
      fc.property(owner, below, fc.boolean(), (one, suffix, deleted) => {
        const text = lineOf(one, suffix) + (deleted ? ' (deleted)' : '');
        expect(cgroupOwner(text)).toMatchObject({ kind: one.kind, boundary: one.boundary });
      }),
      RUNS,
    );
  });

  it('of a login session is that session’s user, whatever is made below it', () => {
    fc.assert(
      fc.property(fc.nat(99_999), below, (uid, suffix) => {
        const found = cgroupOwner(`0::/user.slice/user-${uid}.slice${suffix}`);
        expect(found).toMatchObject({ kind: 'user_session', uid });
        expect(found?.boundary).toMatch(new RegExp(`^systemd:/user\\.slice/user-${uid}\\.slice`));
      }),
      RUNS,
    );
  });

  it('does not depend on the order of lines, nor on lines that name nobody', () => {
    const nobody: fc.Arbitrary<string> = fc.constantFrom(
      '12:cpuset:/',
      '5:memory:/x',
      '1:name=systemd:/',
      '',
      'x',
      '3:pids',
      '-1:a:/docker',
      '7:net_cls:relative/path',
    );
    fc.assert(
      fc.property(owner, below, fc.array(nobody, { maxLength: 6 }), fc.nat(6), (one, suffix, others, at) => {
        const alone = cgroupOwner(lineOf(one, suffix));
        const lines = others.toSpliced(at, 0, lineOf(one, suffix));
        expect(cgroupOwner(lines.join('\n'))).toEqual(alone);
        expect(cgroupOwner(lines.reverse().join('\n'))).toEqual(alone);
      }),
      RUNS,
    );
  });

  it('is made of nothing but the text, and bounded, for any text', () => {
    const any = fc.array(fc.oneof(folder, fc.constantFrom('0::', '4:freezer:', '/', '\n', ':')), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(any, (pieces) => {
        const text = pieces.join('/');
        const found = cgroupOwner(text);
        expect(cgroupOwner(text)).toEqual(found);
        if (found === null) return;
        const plain = (part: string): string => part.replaceAll(/[-_]/g, '');
        // A SLUID is told as the number that it spells.
        if (found.sluid == null) expect(plain(text)).toContain(plain(found.id));
        if (found.uid != null) expect(text).toContain(String(found.uid).replace(/^0+(?=.)/, ''));
        expect(found.boundary.length).toBeLessThanOrEqual(text.length + 32);
      }),
      RUNS,
    );
  });
});
