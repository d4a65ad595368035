// What people read before they accept a policy: every change of it, and what it covers beyond what one may think.
import { describe, expect, test } from 'vitest';
import { DEFAULT_POLICY, type Exemption, type ExemptionMatch } from '../../api/domain/policy.ts';
import { policyChanges, policyWarnings } from '../../api/domain/policy-words.ts';

const NOTHING: ExemptionMatch = {
  ...{ executables: [], boundaries: [], uids: [], types: [], nodes: [], windows: [], daily: [] },
};
const exemption = (change: Partial<Exemption> = {}, match: Partial<ExemptionMatch> = {}): Exemption => ({
  ...{
    id: 'dcgm',
    job: 'j_p',
    owner: 'ops',
    account: 'overhead',
    reason: 'health checks',
    fromMs: 0,
    toMs: 86_400_000,
  },
  match: { ...NOTHING, executables: ['/usr/bin/nvvs'], uids: [0], ...match },
  ...change,
});
const withExemptions = (...exemptions: Exemption[]) => ({ ...DEFAULT_POLICY, exemptions });

describe('changes of a policy', () => {
  test('none where both say the same', () => {
    expect(policyChanges(withExemptions(exemption()), withExemptions(exemption()))).toEqual([]);
  });

  test('rules, lists and tunnels, each with what was and what becomes', () => {
    const ssh = { peers: ['192.0.2.0/24', '198.51.100.7'], executables: [], uids: [], reason: 'backup' };
    const before = {
      ...DEFAULT_POLICY,
      launchers: ['sh', 'env'],
      internalRanges: [],
      approvedTunnels: [ssh],
    };
    const after = {
      ...{ ...before, weakestEvidence: 'lineage' as const, endGraceMs: 5000, launchers: ['sh', 'uv'] },
      internalRanges: ['203.0.113.0/24'],
      approvedTunnels: [{ ...ssh, executables: ['/usr/bin/rsync'], uids: [0, 7] }],
    };
    expect(policyChanges(before, after)).toEqual([
      'weakestEvidence was binding and becomes lineage.',
      'endGraceMs was 30000 and becomes 5000.',
      'Launchers, new: uv.',
      'Launchers, no more: env.',
      'Internal networks, new: 203.0.113.0/24.',
      'Approved tunnels, new: to 192.0.2.0/24 or 198.51.100.7 (executables /usr/bin/rsync, uid 0 or 7; backup).',
      'Approved tunnels, no more: to 192.0.2.0/24 or 198.51.100.7 (any program; backup).',
    ]);
  });

  test('an exemption that is new says whom it covers, when, and who answers for it', () => {
    const everything = exemption(
      {},
      {
        ...{ boundaries: ['systemd:/a'], types: ['G'], nodes: ['n1', 'n2'] },
        windows: [{ fromMs: 0, toMs: 1000 }],
        daily: [{ fromMs: 79_200_000, toMs: 7_200_000 }],
      },
    );
    expect(policyChanges(DEFAULT_POLICY, withExemptions(everything))).toEqual([
      'Exemption dcgm is new: executables /usr/bin/nvvs, in systemd:/a, uid 0, type G, on n1 or n2, ' +
        'from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:01.000Z, daily from 22:00 to 02:00 UTC; ' +
        'ops answers for it, account overhead, until 1970-01-02T00:00:00.000Z: health checks',
    ]);
  });

  test('an exemption that changes or ends says what does', () => {
    const changed = exemption({ owner: 'sec', reason: 'another', toMs: 1000 }, { uids: [5] });
    expect(policyChanges(withExemptions(exemption()), withExemptions(changed))).toEqual([
      'Exemption dcgm covered executables /usr/bin/nvvs, uid 0, and now: executables /usr/bin/nvvs, uid 5.',
      'Exemption dcgm: sec answers for it instead of ops.',
      'Exemption dcgm has another reason: another',
      'Exemption dcgm lasts until 1970-01-01T00:00:01.000Z instead of 1970-01-02T00:00:00.000Z.',
    ]);
    expect(policyChanges(withExemptions(exemption()), DEFAULT_POLICY)).toEqual([
      'Exemption dcgm of ops ends.',
    ]);
  });
});

describe('what a policy covers beyond what one may think', () => {
  const warnings = (match: Partial<ExemptionMatch>) =>
    policyWarnings(withExemptions(exemption({}, { executables: [], uids: [], ...match })));

  test('claims, where they are accepted', () => {
    expect(policyWarnings(DEFAULT_POLICY)).toEqual([]);
    expect(policyWarnings({ ...DEFAULT_POLICY, weakestEvidence: 'claim' })).toEqual([
      'weakestEvidence claim: whoever sets an environment variable is covered by the job that it names.',
    ]);
  });

  test.each<[string, Partial<ExemptionMatch>]>([
    ['everything that any account runs in its units', { boundaries: ['systemd:/a'] }],
    ['can make a file look like another path', { executables: ['/a'], uids: [0, 7] }],
    ["every account's graphics contexts", { types: ['G'] }],
  ])('%s', (words, match) => {
    const said = warnings(match);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(`Exemption dcgm: `);
    expect(said[0]).toContain(words);
  });

  test.each<[string, Partial<ExemptionMatch>]>([
    ['a unit and a program', { boundaries: ['systemd:/a'], executables: ['/a'] }],
    ['a unit and an account', { boundaries: ['systemd:/a'], uids: [7] }],
    ['a program of root', { executables: ['/a'], uids: [0] }],
    ['an account', { uids: [7] }],
    ['graphics of an account', { types: ['G'], uids: [7] }],
  ])('no word about %s', (_, match) => {
    expect(warnings(match)).toEqual([]);
  });
});
