// The log says each change of state once, in a line of text or of JSON.
import { describe, expect, it } from 'vitest';
import { createLog, StateLog } from '../../collector/log.ts';

const HOUR_MS = 3_600_000;

function listener() {
  const lines: string[] = [];
  let nowMs = 0;
  const states = new StateLog(
    (level, message, about) => lines.push(`${level} ${about} ${message}`),
    () => nowMs,
  );
  return {
    lines,
    states,
    pass: (ms: number): void => {
      nowMs += ms;
    },
  };
}

describe('states', () => {
  it('are told when they change, and not when only a number in them does', () => {
    const { lines, states } = listener();
    states.tell('spool', null, 'well');
    for (let bytes = 1; bytes < 100; bytes += 1)
      states.tell('spool', `the spool is full: ${bytes} bytes wait`, 'well');
    states.tell('spool', 'the spool cannot be written', 'well');
    states.tell('spool', null, 'well');
    states.tell('spool', null, 'well');
    expect(lines).toEqual([
      'warn spool the spool is full: 1 bytes wait',
      'warn spool the spool cannot be written',
      'info spool well',
    ]);
  });

  it('keep apart what differs in a name, such as a UUID', () => {
    const { lines, states } = listener();
    states.tell('devices', 'GPU-00000000-0000-4000-8000-000000000000: lost', 'well');
    states.tell('devices', 'GPU-00000000-0000-4000-8000-000000000001: lost', 'well');
    expect(lines).toHaveLength(2);
  });

  it('are told at the start where that is asked for', () => {
    const { lines, states } = listener();
    states.tell('inventory', null, 'watching 8 GPUs', true);
    states.tell('inventory', null, 'watching 8 GPUs', true);
    expect(lines).toEqual(['info inventory watching 8 GPUs']);
  });

  it('that come and go with every poll do not fill the log, and end with the truth', () => {
    const { lines, states, pass } = listener();
    for (let poll = 0; poll < 1440; poll += 1) {
      states.tell('devices', poll % 2 === 0 ? 'GPU lost' : null, 'all measured');
      pass(5000);
    }
    // Two hours of it.
    expect(lines.length).toBeLessThan(20);
    expect(lines.filter((line) => line.includes('again and again'))).toHaveLength(1);
    pass(HOUR_MS);
    states.tell('devices', 'GPU lost', 'all measured');
    expect(lines.at(-1)).toBe('warn devices GPU lost');
    states.tell('devices', null, 'all measured');
    expect(lines.at(-1)).toBe('info devices all measured');
  });
});

it('writes lines for people and for programs, safe for both', () => {
  const lines: string[] = [];
  for (const form of ['text', 'json'] as const)
    createLog(
      form,
      () => 0,
      (line) => lines.push(line),
    )('warn', 'a\nb \x1b[2J', 'service');
  expect(lines[0]).toBe('1970-01-01T00:00:00.000Z gpuledger-agent warn a\\x0ab \\x1b[2J\n');
  expect(lines[1]?.endsWith('}\n')).toBe(true);
  expect(JSON.parse(lines[1] ?? '')).toEqual({
    ...{ time: '1970-01-01T00:00:00.000Z', level: 'warn', program: 'gpuledger-agent' },
    ...{ about: 'service', message: 'a\\x0ab \\x1b[2J' },
  });
});
