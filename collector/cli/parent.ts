/** An agent that another program started as a part of itself (`gpuledger start`, the demo) ends when that program is gone. */

/** Names the pid of that program. */
const PARENT = 'GPULEDGER_AGENT_PARENT';
const CHECK_MS = 1000;

/** However the parent ended, killed for instance: the agent is asked to stop as if the parent had done so. */
export function endWithParent(): void {
  const parent = process.env[PARENT];
  if (parent === undefined) return;
  const timer = setInterval(() => {
    if (String(process.ppid) === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, CHECK_MS);
  timer.unref();
}
