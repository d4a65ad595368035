/** `npm run replay -- FILE…`: plays scenarios and says what became of each. */
import { parseArgs } from 'node:util';
import { build, ScenarioError } from './build.ts';
import { loadScenario } from './load.ts';
import { play } from './play.ts';
import { describe, lines } from './report.ts';
import { score } from './score.ts';

const USAGE = `npm run replay -- FILE… [--json]

Plays scenario files through the real agent and the real service on a virtual clock, and prints for each whether the books
balance, what each device did, what was found, and what really happened. docs/SCENARIOS.md says how to write one.

  --json   one JSON document a line instead of text

Exit code: 0 all were played and their books balance, 1 one was not, 2 wrong usage.
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  if (values.help || positionals.length === 0) {
    process.stdout.write(USAGE);
    return values.help ? 0 : 2;
  }
  let code = 0;
  for (const file of positionals) {
    try {
      const built = build(loadScenario(file));
      const startedMs = performance.now();
      const played = await play(built);
      const scored = await score(built, played);
      const described = await describe(built, played, scored, performance.now() - startedMs);
      await played.close();
      if (!scored.conserved) code = 1;
      process.stdout.write(
        values.json ? `${JSON.stringify(described)}\n` : `${lines(described).join('\n')}\n`,
      );
    } catch (error) {
      if (!(error instanceof ScenarioError)) throw error;
      process.stderr.write(`${error.message}\n`);
      code = 1;
    }
  }
  return code;
}

process.exitCode = await main();
