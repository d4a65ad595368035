/** What the agent reads of hostile and careless processes leaves it nowhere with a secret in it. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { ProcFixture } from './proc-fixture.ts';

const T = 1_700_001_000_000;
let proc: ProcFixture;
beforeAll(() => {
  proc = new ProcFixture();
  proc.put({ pid: 1, parent: 0, comm: 'init', uid: 0, exe: null });
});
afterAll(() => proc.destroy());

const secret = fc
  .array(fc.constantFrom(...'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789_+'), {
    minLength: 12,
    maxLength: 24,
  })
  .map((chars) => `Q${chars.join('')}Z`);
const FORMS: readonly ((s: string) => string[])[] = [
  (s) => ['--hf-token', s],
  (s) => [`--password=${s}`],
  (s) => [`WANDB_API_KEY=${s}`],
  (s) => [`https://user:${s}@host/x.git`],
  (s) => [`alice:${s}@198.51.100.7`],
  (s) => ['-H', `Authorization: Bearer ${s}`],
  (s) => [`{"client_secret":"${s}"}`],
  (s) => ['sh', '-c', `DB_PASSWORD=${s} ./train --token ${s}`],
];

it('neither in facts, personal records, the saved state nor problems, of one listed and one not', () => {
  let pid = 100;
  fc.assert(
    fc.property(secret, fc.nat(FORMS.length - 1), fc.nat(6000), (planted, form, padding) => {
      pid += 2;
      const argv = ['python', 'x'.repeat(padding), ...(FORMS[form]?.(planted) ?? []), 'end'];
      const cmdline = `${argv.join('\0')}\0`;
      const environ = `HOME=/root\0AWS_SECRET_ACCESS_KEY=${planted}\0SLURM_JOB_ID=7\0TOKEN=${planted}\0`;
      proc.put({ pid, cmdline, environ });
      proc.put({ pid: pid + 1, parent: pid, cmdline, environ, uid: 0 });
      const table = createProcessTable({ files, clock }, { procRoot: proc.root, passwdPath: proc.passwd });
      const said = [table.observe([pid + 1], T), table.changedFacts(), table.readConnections(T)];
      // Later the parent is listed too, and its words are kept as well.
      table.observe([pid, pid + 1], T + 5000);
      const all = JSON.stringify([said, table.liveFacts(), table.exportState(), table.takeProblems()]);
      expect(all).not.toContain(planted);
      expect(all).not.toContain(Buffer.from(planted).toString('base64'));
      proc.remove(pid);
      proc.remove(pid + 1);
    }),
    { numRuns: 60 },
  );
});

it('nor is the beginning of one left where a command line is cut', () => {
  const planted = 'Qabcdefghijklmnop23456789Z';
  for (let padding = 4050; padding <= 4100; padding += 1) {
    proc.put({ pid: 30, cmdline: `python\0${'x'.repeat(padding)}\0--token\0${planted}\0` });
    const table = createProcessTable({ files, clock }, { procRoot: proc.root, passwdPath: proc.passwd });
    table.observe([30], T);
    expect(JSON.stringify(table.liveFacts())).not.toContain(planted.slice(0, 4));
  }
});
