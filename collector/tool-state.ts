/** What the agent keeps of its tools from one run to the next, to notice that one was changed: `tools.json` in the spool. */
import { BATCH_LIMITS, TOOL_ROLES, type ToolFact } from '../api/contract/batch.ts';

export interface ToolState {
  /** Of the kernel module, else as nvidia-smi gives it; null: not known. */
  readonly driverVersion: string | null;
  readonly tools: readonly ToolFact[];
}

const STATE_VERSION = 1;
const MAX_STATE_CHARS = 256 * 1024;

export const toolStateText = (state: ToolState): string =>
  JSON.stringify({ version: STATE_VERSION, ...state });

/** null for a text that is none: then nothing is compared, and the next state is written over it. */
export function parseToolState(text: string): ToolState | null {
  if (text.length > MAX_STATE_CHARS) return null;
  try {
    const state: unknown = JSON.parse(text);
    if (!isObject(state) || state['version'] !== STATE_VERSION) return null;
    const { driverVersion, tools } = state;
    if (!isTextOrNull(driverVersion) || !Array.isArray(tools) || tools.length > BATCH_LIMITS.tools)
      return null;
    return tools.every(isTool) ? { driverVersion, tools } : null;
  } catch {
    return null;
  }
}

type Members = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isTextOrNull = (value: unknown): value is string | null =>
  value === null || (typeof value === 'string' && value.length <= BATCH_LIMITS.pathChars);
const isCountOrNull = (value: unknown): boolean =>
  value === null || (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0);

function isTool(value: unknown): value is ToolFact {
  if (!isObject(value) || !TOOL_ROLES.some((role) => role === value['role'])) return false;
  const { path, device, inode, ownerUid, sizeBytes, sha256, version } = value;
  const texts = [device, inode, sha256, version];
  return (
    typeof path === 'string' &&
    isTextOrNull(path) &&
    texts.every(isTextOrNull) &&
    [ownerUid, sizeBytes].every(isCountOrNull)
  );
}
