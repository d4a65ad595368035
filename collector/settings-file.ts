/**
 * A settings file: lines of `KEY=value`, where the keys are the names of the environment variables. So a setting has one
 * name wherever it is written, and the same file serves the agent (`--config`), systemd (`EnvironmentFile=`), a container
 * (`--env-file`) and a Kubernetes ConfigMap.
 */

export const SETTINGS_FILE_BYTES = 64 * 1024;
const LINE = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*=[ \t]*(.*)$/;
const QUOTED = /^(?:"([^"]*)"|'([^']*)')$/;

export interface SettingsFile {
  readonly values: ReadonlyMap<string, string>;
  /** One for each line that cannot be used, as "line N: what is wrong". */
  readonly problems: readonly string[];
}

/**
 * Empty lines and lines that begin with `#` are passed over, quotes around a whole value are taken off, and nothing else
 * is special. `refused`: keys that have no place in a file, and what to do instead.
 */
export function parseSettingsFile(
  text: string,
  known: ReadonlySet<string>,
  refused: ReadonlyMap<string, string>,
): SettingsFile {
  const values = new Map<string, string>();
  const problems: string[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [, key, value = ''] = LINE.exec(line) ?? [];
    const wrong = problemOf(key, values, known, refused);
    if (wrong !== null || key === undefined) problems.push(`line ${index + 1}: ${wrong ?? ''}`);
    else {
      const [, double, single] = QUOTED.exec(value) ?? [];
      values.set(key, double ?? single ?? value);
    }
  }
  return { values, problems };
}

function problemOf(
  key: string | undefined,
  before: ReadonlyMap<string, string>,
  known: ReadonlySet<string>,
  refused: ReadonlyMap<string, string>,
): string | null {
  if (key === undefined) return 'is not KEY=value';
  const instead = refused.get(key);
  if (instead !== undefined) return `${key} ${instead}`;
  if (!known.has(key)) return `${key} is not a setting. The settings are ${[...known].sort().join(', ')}`;
  return before.has(key) ? `${key} was given before` : null;
}
