/** What `run` becomes once its settings are read (hand-over.ts); not for calling by hand. */
import { takeOver } from './hand-over.ts';
import { watch } from './watch.ts';

process.exitCode = await watch(takeOver(performance.timeOrigin));
