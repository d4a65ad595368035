/** What went wrong with a store as a whole. `remedy` is a sentence for the person at the terminal. */
const STORE_ERROR_CODES = [
  'newer_schema',
  'changed_migration',
  'missing',
  'not_writable',
  'corrupt',
  'busy',
  'full',
] as const;
export type StoreErrorCode = (typeof STORE_ERROR_CODES)[number];

export class StoreError extends Error {
  readonly code: StoreErrorCode;
  readonly remedy: string;
  constructor(code: StoreErrorCode, message: string, remedy: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'StoreError';
    this.code = code;
    this.remedy = remedy;
  }
}
