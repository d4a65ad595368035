/** A file of members, YAML or JSON, that somebody wrote. */
import { readFileSync, statSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { CliError, EXIT } from './exit.ts';

const FILE_MAX_BYTES = 1024 * 1024;
/** Of an alias that names an alias, no more than so many. */
const MAX_ALIASES = 100;

/** Throws `CliError`, a wrong usage. `what`: "a policy". */
export function readMembers(file: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    if (statSync(file).size > FILE_MAX_BYTES) throw new CliError(`${file} is larger than 1 MiB`, EXIT.usage);
    value = parse(readFileSync(file, 'utf8'), { maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(
      `${file} cannot be read: ${error instanceof Error ? error.message : error}`,
      EXIT.usage,
    );
  }
  const members = z.record(z.string(), z.unknown()).safeParse(value ?? {});
  if (!members.success) throw new CliError(`${file}: expected the members of ${what}`, EXIT.usage);
  return members.data;
}
