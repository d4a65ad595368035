// Go-betweens that the driver lists beside those that they work for.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { ObservedSpan, ObservedTenant } from '../../api/domain/cell.ts';
import { creditSpan } from '../../api/domain/credit.ts';
import { groupFindings, summarise } from '../../api/domain/finding.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import { cell, GPU, HOUR_MS, holds, job, pidOf, processFact, SESSION_CGROUP, span } from './domain-facts.ts';

const SERVER = '/usr/bin/nvidia-cuda-mps-server';
const server = processFact(50, { path: SERVER, cgroup: '0::/system.slice/nvidia-mps.service\n' });
const clients = [processFact(100), processFact(200)];
const processes = new Map([server, ...clients, processFact(300)].map((one) => [one.id, one]));

/** Tenants as pid, type, active time and, under MIG, instance. */
const shared = (
  tenants: readonly (readonly [number, string, number | null, number?])[],
  method: ObservedSpan['method'] = 'sm_share',
): ObservedSpan => {
  const unknown = tenants.some(([, , activeMs]) => activeMs === null);
  const activeMs = tenants.reduce((sum, [, , ms]) => sum + (ms ?? 0), 0);
  return {
    ...span(0, HOUR_MS, {}, activeMs),
    ...(unknown ? { activeMs: null } : {}),
    method,
    tenants: tenants.map(([pid, type, ms, gpuInstance = null]): ObservedTenant => {
      return { process: pidOf(pid), type, gpuInstance, activeMs: ms };
    }),
  };
};

const creditedTo = (one: ObservedSpan, known = processes) =>
  creditSpan(one, known).tenants.map(({ process, activeMs }) => [process, activeMs]);

describe('the server of MPS', () => {
  test('gives its share to its clients, by theirs', () => {
    const one = shared([
      [50, 'C', 101],
      [100, 'M+C', 100],
      [200, 'M+C', 300],
    ]);
    expect(creditedTo(one)).toEqual([
      [pidOf(100), 125],
      [pidOf(200), 376],
    ]);
    const listedAsClient = { ...one, tenants: one.tenants.map((tenant) => ({ ...tenant, type: 'M+C' })) };
    expect(creditedTo(listedAsClient)).toEqual(creditedTo(one));
  });

  test('has clients that draw beside, and what a device does not tell stays unknown', () => {
    const drawing = shared([
      [50, 'C', 100],
      [100, 'M+C+G', 10],
    ]);
    expect(creditedTo(drawing)).toEqual([[pidOf(100), 110]]);
    const untold = shared([
      [50, 'C', null],
      [100, 'M+C', null],
    ]);
    expect(creditedTo(untold)).toEqual([[pidOf(100), null]]);
  });

  test('gives its share equally where all of it is listed with the server', () => {
    const one = shared([
      [100, 'M+C', 0],
      [50, 'M', 1001],
      [200, 'M+C', 0],
    ]);
    expect(creditedTo(one)).toEqual([
      [pidOf(100), 501],
      [pidOf(200), 500],
    ]);
  });

  test('gives nothing to those beside its clients', () => {
    const one = shared([
      [50, 'C', 10],
      [100, 'M+C', 0],
      [300, 'C', 70],
    ]);
    expect(creditedTo(one)).toEqual([
      [pidOf(100), 10],
      [pidOf(300), 70],
    ]);
  });

  test('keeps everything where it has no clients, as on old GPUs', () => {
    const one = shared([
      [50, 'C', 800],
      [300, 'C', 100],
    ]);
    expect(creditSpan(one, processes)).toBe(one);
  });

  test('is not believed twice: a second program of its name keeps what it executed', () => {
    const known = new Map([...processes, [pidOf(60), processFact(60, { path: `/tmp/${SERVER}` })]]);
    const one = shared([
      [50, 'C', 0],
      [60, 'C', 900],
      [100, 'M+C', 100],
    ]);
    expect(creditSpan(one, known)).toBe(one);
  });

  test('serves its own instance only', () => {
    const one = shared([
      [50, 'C', null, 1],
      [100, 'M+C', null, 1],
      [50, 'C', null, 2],
      [300, 'C', null, 2],
    ]);
    expect(
      creditSpan(one, processes).tenants.map(({ process, gpuInstance }) => [process, gpuInstance]),
    ).toEqual([
      [pidOf(100), 1],
      [pidOf(300), 2],
      [pidOf(50), 2],
    ]);
  });

  test('is not undeclared beside declared clients, and their time is counted once', () => {
    const j = job('8101');
    const facts = cell({
      processes: [server, ...clients],
      jobs: [j],
      holdings: [holds(j, { shareMilli: 500 })],
      spans: [
        shared([
          [50, 'C', 1000],
          [100, 'M+C', 0],
          [200, 'M+C', 0],
        ]),
      ],
    });
    const { entries } = attribute(facts);
    expect(entries.filter(({ bucket }) => bucket === 'used').map(({ ms }) => ms)).toEqual([500, 500]);
    expect(entries.some(({ bucket }) => bucket === 'unaccounted')).toBe(false);
  });

  test('alone on a device that nobody holds is a notice at most', () => {
    const facts = cell({ processes: [server], spans: [span(0, HOUR_MS, { 50: 0 })] });
    const [part] = groupFindings(facts, createJudge(facts), [
      { device: GPU, entries: attribute(facts).entries },
    ]);
    expect(summarise(part?.rows ?? [], 0)).toMatchObject({ activeMs: 0, severity: 'notice' });
  });

  test('executes for the job that it was started in, where no client shows', () => {
    const j = job('8101');
    const own = processFact(50, { path: SERVER });
    const facts = cell({
      ...{ processes: [own], jobs: [j], holdings: [holds(j)], spans: [span(0, HOUR_MS, { 50: 900 })] },
    });
    expect(attribute(facts).entries).toContainEqual(
      expect.objectContaining({ bucket: 'used', job: 'j_8101', process: pidOf(50), ms: 900 }),
    );
  });
});

describe('a context that only draws', () => {
  test('gets nothing by equal shares beside one that computes', () => {
    const one = shared(
      [
        [100, 'C', 33],
        [200, 'C+G', 33],
        [300, 'G', 34],
      ],
      'equal',
    );
    expect(creditedTo(one)).toEqual([
      [pidOf(100), 50],
      [pidOf(200), 50],
      [pidOf(300), 0],
    ]);
  });

  test('keeps what was sampled, and what there is where nothing computes', () => {
    const sampled = shared([
      [100, 'C', 60],
      [300, 'G', 40],
    ]);
    expect(creditSpan(sampled, processes)).toBe(sampled);
    const drawing = shared(
      [
        [100, 'G', 50],
        [300, 'G', 50],
      ],
      'equal',
    );
    expect(creditSpan(drawing, processes)).toBe(drawing);
    const undeclared = cell({ processes: [processFact(300, { cgroup: SESSION_CGROUP })], spans: [drawing] });
    expect(attribute(undeclared).entries.some(({ bucket }) => bucket === 'unaccounted')).toBe(true);
  });
});
