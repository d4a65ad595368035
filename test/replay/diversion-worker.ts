/** A process of `npm run bench:diversion`: plays the scenarios whose files it is sent, one after another. */
import { bench } from './diversion-score.ts';

process.on('message', (file) => {
  bench(String(file)).then(
    (benched) => process.send?.({ benched }),
    (error) => process.send?.({ file, failure: error instanceof Error ? error.message : String(error) }),
  );
});
