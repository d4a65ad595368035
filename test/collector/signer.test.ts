import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { isSignedBy } from '../../api/contract/signature.ts';
import { files } from '../../collector/ports/real.ts';
import { openSigner } from '../../collector/signer.ts';
import { SpoolError } from '../../collector/spool-files.ts';
import { START, Stream } from '../store/site.ts';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'gpuledger-signer-')), 'spool');
});
const keyFile = () => join(folder, 'key.pem');

it('is made on the first start, for its own account only, and is the same from then on', () => {
  const first = openSigner(files, folder);
  expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
  expect(first.problem).toBeNull();
  expect(openSigner(files, folder).publicKey).toBe(first.publicKey);
  expect(openSigner(files, `${folder}-other`).publicKey).not.toBe(first.publicKey);
});

it('signs the hash of a batch, so that anybody with the public key can tell, and nothing else passes', () => {
  const signer = openSigner(files, folder);
  const stream = new Stream('n1');
  const [one, other] = [stream.batch(START, START + 1000), stream.batch(START + 1000, START + 2000)];
  const { signature } = signer.sign(one);
  if (signature === undefined) throw new Error('it was not signed');
  expect(signature.key).toBe(signer.publicKey);
  expect(isSignedBy(signature, one.hash)).toBe(true);
  expect(isSignedBy(signature, other.hash)).toBe(false);
  expect(isSignedBy({ ...signature, key: openSigner(files, `${folder}-other`).publicKey }, one.hash)).toBe(
    false,
  );
  expect(isSignedBy({ ...signature, key: 'f'.repeat(64) }, one.hash)).toBe(false);
  expect(signer.sign(one)).toEqual(signer.sign(one));
});

it('puts a damaged key aside and says so; a key of another kind is damaged too', () => {
  const { privateKey } = generateKeyPairSync('x25519');
  const others = ['-----BEGIN nothing', privateKey.export({ type: 'pkcs8', format: 'pem' })];
  for (const text of others) {
    const before = openSigner(files, folder).publicKey;
    writeFileSync(keyFile(), text);
    const signer = openSigner(files, folder);
    expect(signer.publicKey).not.toBe(before);
    expect(signer.problem).toMatch(/the key was damaged/);
    expect(readFileSync(join(folder, 'key.pem.damaged'), 'utf8')).toBe(text);
    expect(openSigner(files, folder).problem).toBeNull();
  }
});

it('does not make another key where the one that is there cannot be read', () => {
  const { publicKey } = openSigner(files, folder);
  const blind = {
    ...files,
    read: () => {
      throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    },
  };
  expect(() => openSigner(blind, folder)).toThrow(SpoolError);
  expect(openSigner(files, folder).publicKey).toBe(publicKey);
});
