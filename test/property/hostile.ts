/** Text as sick tools and hostile workloads write it. */
import fc from 'fast-check';

/** What tools print where they have no value. */
export const NO_VALUES = [
  '[N/A]',
  'N/A',
  '[GPU requires reset]',
  '[Unknown Error]',
  'ERR!',
  '[Not Supported]',
  '-',
  '',
];

const PIECES = [
  ...[
    'GPU-00000000-0000-0000-0000-000000000000',
    '00000000:10:00.0',
    ', ',
    ',',
    ' ',
    '  ',
    '%',
    '100 %',
    '0',
    '4096 MiB',
  ],
  ...[
    '[N/A]',
    '[Not Found]',
    '"',
    '#',
    ':',
    '\\',
    '/usr/bin/python3',
    'GPU is lost',
    'Unable to determine',
    'WARNING: ',
    'error',
  ],
  ...[
    '\u001b[2J',
    '\u202e',
    '\u2028',
    '\u0000',
    '\u007f',
    '\ud83d\ude00',
    '%s',
    '<x>',
    '&amp;',
    'pid',
    'uuid',
    'No devices were found',
  ],
];

/** A name of a process without line breaks: anything from letters to rows of the tool itself. */
export const printable: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(...PIECES),
      fc.string({ maxLength: 8 }),
      fc.string({ unit: 'binary', maxLength: 4 }),
    ),
    {
      maxLength: 6,
    },
  )
  .map((pieces) => pieces.join('').replaceAll(/[\r\n]/g, ''));

/** Half a row, an error, binary, or nothing that anybody would know. */
export const hostileLine: fc.Arbitrary<string> = fc.oneof(
  printable,
  fc.constantFrom(
    'Unable to determine the device handle for GPU 0000:05:00.0: GPU is lost.  Reboot the system to recover this GPU',
    'GPU1: 0000:34:00.0: Unknown Error',
    'WARNING: infoROM is corrupted at gpu 0000:06:00.0',
    'Failed to initialize NVML: Driver/library version mismatch',
    'Field "power.draw" is not a valid field to query.',
    'NVML library version: 580.159',
  ),
);
