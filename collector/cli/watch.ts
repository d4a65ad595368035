/** Watching: the agent on its real ports, from the lock on its spool to the last batch. */
import { createAgent } from '../agent.ts';
import type { AgentSettings } from '../config.ts';
import { AGENT_VERSION } from '../identity.ts';
import { createLog } from '../log.ts';
import { createLauncher } from '../ports/launcher.ts';
import { clock, createPorts } from '../ports/real.ts';
import { ShipError } from '../ports.ts';
import { SpoolError } from '../spool-files.ts';
import { complain, EXIT_USAGE } from './complain.ts';
import { lock } from './lock.ts';
import { endWithParent } from './parent.ts';
import { tokenReader } from './token.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** A terminal and a parent that passes signals on may both send the same one. */
const SAME_SIGNAL_MS = 1000;
const EXIT_AT_ONCE = 130;
/** What outlives a poll or two piles up until V8 looks it through; looked through on purpose, resident memory stays lower. */
const TIDY_MS = 120_000;

/** Until it is told to stop; resolves with the exit code. `settings` must have an address. */
export async function watch(settings: AgentSettings): Promise<number> {
  let release = (): void => undefined;
  try {
    const api = settings.api ?? '';
    const token = tokenReader(settings);
    token();
    release = lock(settings.agent.spoolFolder);
    const stop = stopSignal();
    endWithParent();
    // A log that nobody takes any more must not end the measuring.
    process.stderr.on('error', () => undefined);
    const log = createLog(settings.log, clock.wallMs, (line) => process.stderr.write(line));
    const ports = createPorts({ apiUrl: api, token });
    const agent = createAgent(settings.agent, { ...ports, execute: createLauncher(ports.execute) }, log);
    const { cluster, node } = settings.agent;
    const to = new URL(api).origin;
    setInterval(
      () => globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'regular' }),
      TIDY_MS,
    ).unref();
    log('info', `version ${AGENT_VERSION} watches ${cluster}/${node} and reports to ${to}`, 'agent');
    await agent.run(stop);
    log('info', 'stopping: the last batch goes out', 'agent');
    await agent.stop();
    log('info', 'stopped', 'agent');
    return 0;
  } catch (error) {
    if (!(error instanceof SpoolError || error instanceof ShipError)) throw error;
    complain(error.message);
    return EXIT_USAGE;
  } finally {
    release();
  }
}

/** The first signal asks for an orderly end, a second one ends at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  for (const name of SIGNALS)
    process.on(name, () => {
      if (!controller.signal.aborted) {
        firstMs = performance.now();
        controller.abort();
      } else if (performance.now() - firstMs > SAME_SIGNAL_MS) process.exit(EXIT_AT_ONCE);
    });
  return controller.signal;
}
