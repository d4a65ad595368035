/** Reads scenario files. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { ScenarioError } from './build.ts';
import { Scenario } from './format.ts';

const MAX_ALIASES = 1000;

/** Throws `ScenarioError`, which names the file, the field and what is wrong with it. */
export function loadScenario(path: string): Scenario {
  let document: unknown;
  try {
    document = parse(readFileSync(path, 'utf8'), { maxAliasCount: MAX_ALIASES });
  } catch (error) {
    throw new ScenarioError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const read = Scenario.safeParse(document);
  if (read.success) return read.data;
  throw new ScenarioError(`${path}:\n${z.prettifyError(read.error)}`);
}
