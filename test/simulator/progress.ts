/** A progress bar with an estimate of the time left; lines instead where the output is no terminal. */
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  update(done: number): void;
  stop(): void;
}

const LINE_EVERY_MS = 10_000;

export function showProgress(what: string, total: number, unit: string): Progress {
  const bar = new SingleBar(
    {
      format: `${what.padEnd(8)} {bar} {percentage}% | {value}/{total} ${unit} | {duration_formatted}, {eta_formatted} to go`,
      ...{ hideCursor: true, noTTYOutput: true, notTTYSchedule: LINE_EVERY_MS, etaBuffer: 200 },
    },
    Presets.shades_classic,
  );
  bar.start(total, 0);
  return { update: (done) => bar.update(Math.min(done, total)), stop: () => bar.stop() };
}
