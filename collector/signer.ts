/**
 * The node's key. The agent makes it on its first start, in a file beside the spool that only its account can read, and
 * signs with it what it sends. Whoever can read the file can sign for the node.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { join } from 'node:path';
import type { Batch } from '../api/contract/batch.ts';
import { publicKeyOf, signedBytes } from '../api/contract/signature.ts';
import type { Files } from './ports.ts';
import { messageOf, SpoolError } from './spool-files.ts';

const KEY_FILE = 'key.pem';
const DAMAGED_FILE = 'key.pem.damaged';
const MAX_KEY_BYTES = 4096;

export interface Signer {
  /** 32 bytes in hexadecimal. */
  readonly publicKey: string;
  /** What an operator should know of the key; null: nothing. */
  readonly problem: string | null;
  sign(batch: Batch): Batch;
}

/** Reads the key of `folder`, or makes one. Throws `SpoolError` when neither can be done. */
export function openSigner(files: Files, folder: string): Signer {
  const path = join(folder, KEY_FILE);
  try {
    files.makeFolder(folder);
    const found = readKey(files, path);
    if (found === 'damaged') files.rename(path, join(folder, DAMAGED_FILE));
    const key = typeof found === 'object' ? found : makeKey(files, path);
    const problem =
      found === 'damaged' ? `the key was damaged and is now ${DAMAGED_FILE}: a new one was made` : null;
    return signerOf(key, problem);
  } catch (error) {
    throw new SpoolError(
      `cannot use the key ${path}: ${messageOf(error)}. Let the agent read and write it, or give another folder (--spool).`,
    );
  }
}

function signerOf(key: KeyObject, problem: string | null): Signer {
  const publicKey = publicKeyOf(key);
  return {
    publicKey,
    problem,
    sign: (batch) => ({
      ...batch,
      signature: { key: publicKey, value: sign(null, signedBytes(batch.hash), key).toString('hex') },
    }),
  };
}

/** The public key of `folder`, for people to compare; null: no agent has made one yet. Throws what the disk throws. */
export function publicKeyIn(files: Files, folder: string): string | 'damaged' | null {
  const found = readKey(files, join(folder, KEY_FILE));
  if (found === 'absent') return null;
  return found === 'damaged' ? found : publicKeyOf(found);
}

function readKey(files: Files, path: string): KeyObject | 'absent' | 'damaged' {
  let text: string;
  try {
    text = files.read(path, MAX_KEY_BYTES).bytes.toString('ascii');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'absent';
    throw error;
  }
  try {
    const key = createPrivateKey(text);
    return key.asymmetricKeyType === 'ed25519' ? key : 'damaged';
  } catch {
    return 'damaged';
  }
}

function makeKey(files: Files, path: string): KeyObject {
  const { privateKey } = generateKeyPairSync('ed25519');
  files.writeDurably(path, Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })));
  return privateKey;
}
