/** Who the agent is: its version, the name of its node, the id of its stream. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

/** In every batch. Equal to the version in package.json, which a test holds. */
export const AGENT_VERSION = '0.1.0';

/** The node's name where none is given: the host's name without its domain. */
export function defaultNodeName(): string {
  return hostname().split('.')[0] || 'localhost';
}

/** A stream is one unbroken chain of batches; a new installation, or a broken chain, starts another. */
export const newStreamId = (): string => randomUUID();
