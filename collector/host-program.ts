/**
 * A program of its own, started by the agent: prints what systeminformation says of the machine, a line of JSON, and then
 * how many processes it lists, another one. The second question can kill it; the first is answered by then.
 */
import { constants, setPriority } from 'node:os';
import { clock } from './ports/real.ts';
import { countProcesses, readHost } from './sources/host.ts';

setPriority(constants.priority.PRIORITY_LOW);
process.stdout.write(`${JSON.stringify(await readHost(clock))}\n`);
process.stdout.write(`${JSON.stringify(await countProcesses(clock))}\n`, () => process.exit(0));
