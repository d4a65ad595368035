/** What polling through systeminformation takes, in a process of its own: prints one line at each poll, until killed. */
import si from 'systeminformation';

const everyMs = Number(process.argv[2]);
for (;;) {
  const startedMs = performance.now();
  const [{ controllers }, { list }, connections] = await Promise.all([
    si.graphics(),
    si.processes(),
    si.networkConnections(),
  ]);
  process.stdout.write(`${controllers.length} ${list.length} ${connections.length}\n`);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, everyMs - (performance.now() - startedMs))));
}
