/** Every error that a service answers with on purpose. Anything else that is thrown is a bug, and only logged. */

const SERVICE_ERROR_CODES = ['invalid', 'forbidden', 'not_found', 'conflict', 'unavailable'] as const;
export type ServiceErrorCode = (typeof SERVICE_ERROR_CODES)[number];

/** A member of the request that is wrong, by its path such as `batches.0.body.toMs`. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** `message` is for the person or program that asked; it never holds secrets or text of a workload. */
export class ServiceError extends Error {
  readonly code: ServiceErrorCode;
  readonly errors: readonly FieldError[];
  constructor(code: ServiceErrorCode, message: string, errors: readonly FieldError[] = []) {
    super(message);
    this.name = 'ServiceError';
    this.code = code;
    this.errors = errors;
  }
}
