/** Plots that need a node of their own kind, or a word of the site's policy. */
import { type Plot, PYTHON, slurmJob, worker } from './plots-declared.ts';
import { gpusOf, type Site } from './site.ts';

/** Instances that a GPU is divided into, by their numbers and slices of seven. */
const INSTANCES = [
  { id: 1, profile: '3g.40gb', slices: 3 },
  { id: 5, profile: '2g.20gb', slices: 2 },
  { id: 9, profile: '1g.10gb', slices: 1 },
] as const;

/** A divided GPU: some instances belong to jobs, somebody may sit in another. Nobody is told of any utilisation. */
const divided: Plot = (site) => {
  const place = site.takeNode();
  if (place === null) return;
  const { random, document } = site;
  const [gpu = 0] = place.gpus;
  const node = document.nodes?.[place.node];
  document.nodes = {
    ...document.nodes,
    [place.node]: { ...node, instances: INSTANCES.map(({ id, profile }) => ({ gpus: gpu, id, profile })) },
  };
  const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, { start: -900, share: 0.5 });
  worker(site, run, place, { uses: [{ gpus: gpu, load: 'half', instance: { gpu: 1 } }] });
  if (random.chance(0.3)) return;
  site.process(`squatter${site.next()}`, {
    ...{
      node: place.node,
      user: site.user(),
      exe: '/home/other/w',
      start: site.second(20, site.length * 0.4),
    },
    ...{ uses: [{ gpus: gpu, load: 'third', instance: { gpu: 5 } }], truth: 'diverted' },
  });
};

/** What the site checks its GPUs with, outside of any job, and a copy of that program that nobody approved. */
const checks: Plot = (site) => {
  const place = site.take(2);
  if (place === null) return;
  const [first = 0, second = 0] = place.gpus;
  const cgroup = '0::/system.slice/slurmd.service\n';
  const exe = '/opt/site/bin/gpu-check';
  site.document.policy = {
    exemptions: [
      {
        id: 'checks',
        match: {
          executables: ['/opt/site/bin/*'],
          boundaries: ['systemd:/system.slice/slurmd.service'],
          uids: [0],
        },
      },
    ],
  };
  const start = site.second(20, site.length * 0.5);
  const number = site.next();
  site.process(`check${number}`, {
    ...{ node: place.node, exe, cgroup, start, end: start + site.second(60, 300), truth: 'overhead' },
    uses: [{ gpus: first, load: 'full' }],
  });
  site.process(`copy${number}`, {
    ...{ node: place.node, exe, user: site.user(), start, truth: 'diverted' },
    uses: [{ gpus: second, load: 'full' }],
  });
};

/** Of a job, and moved out of its control group: once seen, what ties it to its job lasts. */
const movedOut: Plot = (site) => {
  const place = site.take(1);
  if (place === null) return;
  const run = slurmJob(site, { [place.node]: gpusOf(place.gpus) }, place.node, { start: -300 });
  const at = site.second(100, site.length * 0.7);
  worker(site, run, place, {
    changes: [{ at, cgroup: '0::/user.slice/user-1000.slice/session-9.scope\n' }],
    ...{ exe: PYTHON, start: -200, uses: [{ gpus: gpusOf(place.gpus), load: 'full' }] },
  });
};

export const SPECIAL_PLOTS: readonly Plot[] = [divided, checks, movedOut];

/** People log in, daemons hold devices open, dead processes wait: nothing that computes. */
export function addBystanders(site: Site): void {
  for (const node of Object.keys(site.document.nodes ?? {})) {
    const number = site.next();
    const user = site.user();
    site.process(`login${number}`, {
      node,
      user,
      exe: '/usr/bin/bash',
      argv: ['-bash'],
      start: site.second(0, 200),
    });
    site.process(`dead${number}`, {
      node,
      user,
      state: 'Z',
      start: -100,
      copies: { count: site.random.integer(1, 4) },
    });
    site.process(`monitor${number}`, {
      ...{ node, exe: '/usr/bin/dcgm-exporter', cgroup: '0::/system.slice/dcgm-exporter.service\n' },
      ...{ start: -3000, opens: '0' },
    });
  }
}
