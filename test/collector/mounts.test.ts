/** On what file system a path lies, by the text of a mount table. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fileSystemOf, parseMounts } from '../../collector/sources/mounts.ts';

const TABLE = parseMounts(
  Buffer.from(
    [
      '22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw',
      '26 22 0:24 / /dev/shm rw,nosuid - tmpfs tmpfs rw,inode64',
      '40 22 0:60 / /var/lib/c\\040d/merged rw master:3 propagate_from:2 - overlay overlay rw,lowerdir=/x',
      '41 22 0:61 / /srv rw - nfs4 server:/srv rw',
      '42 22 0:62 / /srv rw - tmpfs none rw',
      'not a mount',
      '43 22 nonsense / /x rw - ext4 /dev/x rw',
    ].join('\n'),
  ),
);

it.each([
  ['259:2', '/usr/bin/python3', 'ext4'],
  ['0:24', '/dev/shm/miner', 'tmpfs'],
  // Files of an overlay have device numbers of their own; so has nobody who cannot be asked.
  ['0:99', '/var/lib/c d/merged/bin/x', 'overlay'],
  [null, '/dev/shm/miner', 'tmpfs'],
  [null, '/dev/shmoo', 'ext4'],
  // The later of two at one place is what is seen.
  [null, '/srv/x', 'tmpfs'],
  ['0:61', '/srv/x', 'nfs4'],
  [null, 'not a path', null],
])('a file of device %j at %j lies on %j', (device, path, type) => {
  expect(fileSystemOf(TABLE, device, path)).toBe(type);
});

it('takes any bytes, and invents no type', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      for (const mount of parseMounts(Buffer.from(bytes))) expect(mount.type).toMatch(/^[\w.+-]{1,64}$/);
    }),
  );
});
