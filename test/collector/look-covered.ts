// A program for tests: in a mount namespace of its own it covers processes in /proc, then looks as the agent does and
// prints what it found. Arguments: the pids that "the driver" names (the second and later ones get covered), then "--",
// then others to cover.
import { execFileSync } from 'node:child_process';
import { HiddenProcesses } from '../../collector/hidden-processes.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { readingOf } from './observed.ts';

const [named = [], others = []] = process.argv
  .slice(2)
  .join(' ')
  .split('--')
  .map((list) => list.trim().split(' ').map(Number));
for (const pid of [...named.slice(1), ...others])
  execFileSync('mount', ['-t', 'tmpfs', 'none', `/proc/${pid}`]);

const table = createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
const hidden = new HiddenProcesses(files, '/proc', table.known);
const startMs = clock.wallMs();
/** Enough for the search through all control groups. */
const POLLS = 200;
for (let poll = 0; poll < POLLS; poll += 1) {
  const atMs = startMs + poll * 5000;
  hidden.follow(readingOf(atMs, named), table.observe(named, atMs));
}
const looks = [1, 2].map((look) => {
  const atMs = startMs + POLLS * 5000 + look * 60_000;
  hidden.lookAtMounts(atMs);
  hidden.lookAtMembers(atMs);
  return hidden.due(atMs);
});
process.stdout.write(
  JSON.stringify({ looks, troubles: hidden.troubles, processes: table.liveFacts().facts }),
);
