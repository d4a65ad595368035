/**
 * Who sent a batch: an Ed25519 signature (RFC 8032) by the key of the node. It is of the batch's hash, which covers the
 * body, and so the node, the place in the chain and, by `previousHash`, every batch before it: the last signature of a
 * stretch of a stream speaks for all of the stretch.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';

export interface BatchSignature {
  /** The public key: 32 bytes in hexadecimal. */
  key: string;
  /** 64 bytes in hexadecimal. */
  value: string;
}

const SCHEME = 1;
/** The bytes that are signed: nothing else that a key is ever used for looks like them. */
export const signedBytes = (hash: string): Buffer =>
  Buffer.from(`gpuledger batch ${SCHEME} ${hash}`, 'ascii');

/** The public half of a key as batches name it. */
export const publicKeyOf = (key: KeyObject): string =>
  Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex');

/** Keys that are kept ready: more than a site has nodes. */
const KEPT_KEYS = 20_000;
const kept = new Map<string, KeyObject>();

function keyObject(publicKey: string): KeyObject {
  const known = kept.get(publicKey);
  if (known !== undefined) return known;
  const x = Buffer.from(publicKey, 'hex').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  if (kept.size >= KEPT_KEYS) kept.clear();
  kept.set(publicKey, key);
  return key;
}

/** Whether `signature` is of `hash`, by the key that it names. False also for what is no key at all. */
export function isSignedBy({ key, value }: BatchSignature, hash: string): boolean {
  try {
    return verify(null, signedBytes(hash), keyObject(key), Buffer.from(value, 'hex'));
  } catch {
    return false;
  }
}
