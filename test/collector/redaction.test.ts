import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRedactor, REDACTED } from '../../collector/redaction.ts';

const redact = createRedactor(['-a', '--wallet']);
const S = 'hunter2Hunter2';
const R = REDACTED;

describe('redaction', () => {
  it.each([
    [
      ['x', '--token', S],
      ['x', '--token', R],
    ],
    [
      ['x', `--hf-token=${S}`],
      ['x', `--hf-token=${R}`],
    ],
    [
      ['x', '--password', '-starts-with-dash'],
      ['x', '--password', R],
    ],
    [
      ['x', 'wallet', '--token', S, 'rest'],
      ['x', 'wallet', R, R, 'rest'],
    ],
    [
      ['x', '-p', S, 'rest'],
      ['x', '-p', R, 'rest'],
    ],
    [
      ['mysql', `-p${S}`, 'db'],
      ['mysql', `-p${R}`, 'db'],
    ],
    [
      ['sshpass', '-p', S, 'ssh', 'h'],
      ['sshpass', '-p', R, 'ssh', 'h'],
    ],
    [
      ['env', `WANDB_API_KEY=${S}`, 'python'],
      ['env', `WANDB_API_KEY=${R}`, 'python'],
    ],
    [
      ['env', `DB_PASSWORD=${S} with spaces`],
      ['env', `DB_PASSWORD=${R}`],
    ],
    [
      ['curl', '-u', `alice:${S}`],
      ['curl', '-u', `alice:${R}`],
    ],
    [
      ['curl', '-H', `Authorization: Bearer ${S}`],
      ['curl', '-H', `Authorization: ${R}`],
    ],
    [
      ['curl', '-H', `X-Api-Key:${S}`],
      ['curl', '-H', `X-Api-Key:${R}`],
    ],
    [
      ['x', 'Authorization:', 'Bearer', S],
      ['x', 'Authorization:', 'Bearer', R],
    ],
    [
      ['git', `https://alice:${S}@host/x.git`],
      ['git', `https://alice:${R}@host/x.git`],
    ],
    [
      ['x', `postgres://u:a/${S}@db/x`],
      ['x', `postgres://u:${R}@db/x`],
    ],
    [
      ['x', `http://h/?access_token=${S}&a=1`],
      ['x', `http://h/?access_token=${R}&a=1`],
    ],
    [
      ['x', `{"token":"${S}","a":1}`],
      ['x', `{"token":${R},"a":1}`],
    ],
    [
      ['sh', '-c', `TOKEN=${S} ./miner --algo x`],
      ['sh', '-c', `TOKEN=${R} ./miner --algo x`],
    ],
    [
      ['sh', '-c', `./a --secret ${S} --b c`],
      ['sh', '-c', `./a --secret ${R} --b c`],
    ],
    [
      ['redis-cli', '-a', S],
      ['redis-cli', '-a', R],
    ],
    [
      ['x', '--wallet', S],
      ['x', '--wallet', R],
    ],
    [
      ['x', 'ghp_0123456789abcdefghijABCDEFGHIJ012345'],
      ['x', R],
    ],
    [
      ['x', 'glpat-0123456789abcdefghij'],
      ['x', R],
    ],
    [
      ['x', 'AKIAIOSFODNN7EXAMPLE'],
      ['x', R],
    ],
    [
      ['x', 'key is sk-0123456789abcdefghij.'],
      ['x', `key is ${R}.`],
    ],
    [
      ['x', 'hf_0123456789abcdefghijABCDEFGHIJ0123'],
      ['x', R],
    ],
    [
      ['x', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_def'],
      ['x', R],
    ],
    [
      ['x', `-----BEGIN RSA PRIVATE KEY-----\\x0a${S}`],
      ['x', R],
    ],
    [
      ['x', '-----BEGIN', 'RSA', 'PRIVATE', 'KEY-----', S],
      ['x', '-----BEGIN', R, R, R, R],
    ],
    [
      ['curl', `-ualice:${S}`, '--proxy-user', `bob:${S}`],
      ['curl', `-ualice:${R}`, '--proxy-user', `bob:${R}`],
    ],
    [
      ['curl', `--user=alice:${S}`, `-HAuthorization: Basic ${S}`],
      ['curl', `--user=alice:${R}`, `-HAuthorization: ${R}`],
    ],
    [
      ['smbclient', '-U', `alice%${S}`],
      ['smbclient', '-U', `alice%${R}`],
    ],
    [
      ['scp', `alice:${S}@198.51.100.7:/x`, `--proxy=bob:${S}@proxy:3128`],
      ['scp', `alice:${R}@198.51.100.7:/x`, `--proxy=bob:${R}@proxy:3128`],
    ],
    [
      ['aws', 'configure', 'set', 'aws_secret_access_key', S],
      ['aws', 'configure', 'set', 'aws_secret_access_key', R],
    ],
    [
      ['x', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE7'],
      ['x', R],
    ],
    [
      ['x', '--key', S, `license-key=${S}`],
      ['x', '--key', R, `license-key=${R}`],
    ],
    [
      ['x', `https://a.example/b?sv=1&sig=${S}`],
      ['x', `https://a.example/b?sv=1&sig=${R}`],
    ],
    [
      ['7z', 'x', `-p${S}`],
      ['7z', 'x', `-p${R}`],
    ],
  ])('%j', (argv, expected) => {
    expect(redact(argv)).toEqual(expected);
  });

  it.each([
    [['ssh', '-N', '-R', '2222:localhost:22', '-p', '2222', 'u@198.51.100.7']],
    [['python', 'train.py', '--tokenizer', 'llama', '--max-tokens', '512', '--lr=0.1']],
    [
      [
        './miner',
        '--algo',
        'kawpow',
        '--server',
        'stratum+tcp://pool.example:3333',
        '--user',
        'wallet.worker',
      ],
    ],
    [['docker', 'run', '-p', '127.0.0.1:8080:80', '--user', '1000:1000', 'image']],
    [['ray::RolloutWorker.generate']],
    [['x', 'http://host:8080/a@b']],
    [['git', 'clone', 'git@host.example:group/project@v1']],
    [['docker', 'run', 'registry/image:tag@sha256:0123abcd', '--user=1000:1000']],
    [['git', 'show', '0123456789abcdef0123456789abcdef01234567']],
    [['gpuledger', 'token', 'create']],
    [['python', '-m', 'torch', '--data', '/data/images/train/shards/part-00001.tar', '--pin-memory', 'on']],
  ])('leaves %j alone', (argv) => {
    expect(redact(argv)).toEqual(argv);
  });

  it('never shows a planted secret, whatever stands around it', () => {
    const secret = fc
      .array(fc.constantFrom(...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+%!'), {
        minLength: 12,
        maxLength: 40,
      })
      .map((chars) => `Q${chars.join('')}Z`);
    const name = fc.constantFrom(
      'token',
      'password',
      'api-key',
      'client_secret',
      'HF_TOKEN',
      'authToken',
      'passwd',
    );
    const planted = fc.tuple(secret, name, fc.nat(21)).map(([s, n, form]) => {
      const forms: string[][] = [
        [`--${n}`, s],
        [`--${n}=${s}`],
        [`${n}=${s}`],
        ['-H', `Authorization: Bearer ${s}`],
        [`https://user:${s}@host:443/path`],
        ['sh', '-c', `run --${n} '${s}' && echo done`],
        [`{"${n}": "${s}"}`],
        ['--config', `a=1;${n}=${s};b=2`],
        [`-${n}`, s],
        [`-${n}=${s}`],
        [`--env=${n}=${s}`],
        ['-e', `${n}=${s}`],
        [`{\\"${n}\\":\\"${s}\\"}`],
        [`{'${n}': '${s}'}`],
        [`${n}: ${s}`],
        ['-p', s],
        ['-u', `alice:${s}`],
        [`-ualice:${s}`],
        [`alice:${s}@198.51.100.7`],
        [`postgres://alice:${s}@db/x?${n}=${s}`],
        [
          'bash',
          '-lc',
          `export ${n.replaceAll('-', '_')}=${s}; curl -H "Authorization: Bearer ${s}" http://h`,
        ],
        ['aws', 'configure', 'set', `aws_${n.replaceAll('-', '_')}`, s],
      ];
      return { secret: s, argv: forms[form] ?? [] };
    });
    // What may stand beside it: not an option that would swallow the planted one's name.
    const beside = fc.array(
      fc.string({ unit: 'grapheme-ascii', maxLength: 12 }).filter((text) => !/[-=:"'\\]/.test(text)),
    );
    fc.assert(
      fc.property(planted, beside, beside, (plant, before, after) => {
        const result = redact([...before, ...plant.argv, ...after]);
        expect(result).toHaveLength(before.length + plant.argv.length + after.length);
        expect(result.join(' ')).not.toContain(plant.secret);
      }),
      { numRuns: 300, examples: [[{ secret: S, argv: ['--token', S] }, ['A'], []]] },
    );
  });

  it('takes any arguments', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (argv) => {
        expect(redact(argv)).toHaveLength(argv.length);
      }),
    );
  });

  it.each([
    '-',
    '://',
    ':',
    'a:',
    '://a:@',
    'token ',
    'token:',
    '"',
    "'",
    '\\',
    '-----BEGIN',
    'eyJ',
    '--p=',
    ' ',
  ])(
    'is done with 131,000 bytes of %j in one scan',
    (piece) => {
      const long = piece.repeat(131_000 / piece.length);
      expect(redact([long, `x${long}`])).toHaveLength(2);
    },
    5000,
  );
});
