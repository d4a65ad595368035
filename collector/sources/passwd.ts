/** Names of user ids, from a passwd file. Names are for people: no verdict rests on them. */
import type { Files } from '../ports.ts';
import { bytesToText } from '../text.ts';

const PASSWD_BYTES = 8 * 1024 * 1024;
const NAME_CHARS = 253;

/** The first name of each id, as the C library would find it. Lines that are not entries are passed over. */
export function parsePasswd(bytes: Buffer): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of bytes.toString('latin1').split('\n')) {
    const [name = '', , id = ''] = line.split(':', 3);
    if (!/^\d{1,10}$/.test(id) || name === '' || /^[+-]/.test(name)) continue;
    const uid = Number(id);
    if (!names.has(uid)) names.set(uid, bytesToText(Buffer.from(name, 'latin1'), NAME_CHARS).text);
  }
  return names;
}

/** Looks ids up; reads the file again when it was replaced or its size changed. Null where it says nothing. */
export function createUserNames(files: Files, path: string): (uid: number) => string | null {
  let version = '';
  let names = new Map<number, string>();
  return (uid) => {
    try {
      const { device, inode } = files.identify(path);
      const current = `${device} ${inode} ${files.sizeBytes(path)}`;
      if (current !== version) {
        const { bytes, cut } = files.read(path, PASSWD_BYTES);
        names = parsePasswd(cut ? bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1) : bytes);
        version = current;
      }
    } catch {
      // A file that cannot be read now leaves the names that it gave before.
    }
    return names.get(uid) ?? null;
  };
}
