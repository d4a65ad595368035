/**
 * Makes the stand-in nvidia-smi replay what a real one printed, with one recorded GPU as many times as wanted: the copies
 * have other UUIDs, bus ids, indexes and minors, and everything else as it was recorded.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ACCOUNTED_FIELDS, APP_FIELDS, GPU_FIELDS } from '../simulator/nvidia-smi-fields.ts';
import type { AnswerFolder } from './answers.ts';
import { PMON_SELECTIONS, tableText } from './answers.ts';

/** Names of the files that a folder of captures may have; what is not there, the stand-in refuses. */
const CAPTURE_FILES = {
  'query-gpu': 'query-gpu.csv',
  'query-compute-apps': 'query-compute-apps.csv',
  'query-accounted-apps': 'query-accounted-apps.csv',
  pmon: 'pmon.txt',
  xml: 'q.xml',
  list: 'list.txt',
  version: 'version.txt',
} as const;
export type Captures = { readonly [Kind in keyof typeof CAPTURE_FILES]?: string };

export function readCaptures(folder: string): Captures {
  const found = Object.entries(CAPTURE_FILES).filter(([, file]) => existsSync(join(folder, file)));
  return Object.fromEntries(found.map(([kind, file]) => [kind, readFileSync(join(folder, file), 'utf8')]));
}

const QUERIES = [
  ['query-gpu', GPU_FIELDS],
  ['query-compute-apps', APP_FIELDS],
  ['query-accounted-apps', ACCOUNTED_FIELDS],
] as const;

/** `gpus`: how many to make of a recorded GPU; 1 leaves the recording as it is. */
export function replay(answers: AnswerFolder, captures: Captures, gpus = 1): void {
  for (const [kind, fields] of QUERIES) {
    const text = captures[kind];
    if (text !== undefined) answers.put(`${kind}.tsv`, recordedTable(text, fields, gpus));
  }
  const { pmon, xml, list, version } = captures;
  if (pmon !== undefined)
    for (const letters of PMON_SELECTIONS) answers.put(`pmon-${letters}.txt`, multiplyPmon(pmon, gpus));
  if (xml !== undefined) answers.put('q.xml', multiplyXml(xml, gpus));
  if (list !== undefined) answers.put('list.txt', multiplyList(list, gpus));
  if (version !== undefined) answers.put('version.txt', version);
}

const copies = (gpus: number): number[] => Array.from({ length: gpus }, (_, copy) => copy);

/** The header's columns, with all names under which they may be asked for; one row more for each copy. */
function recordedTable(
  text: string,
  known: readonly { readonly names: readonly string[] }[],
  gpus: number,
): string {
  const [head = '', ...lines] = text.split('\n').filter((line) => line.trim() !== '');
  const columns = head
    .split(', ')
    .map((cell) => /^(\S+)(?: \[(.*)\])?$/.exec(cell.trim()) ?? [cell, cell, '']);
  const names = columns.map(
    ([, name = '']) => known.find((field) => field.names.includes(name))?.names ?? [name],
  );
  const rows = lines.map((line) => splitRow(line, columns.length, names));
  return tableText(
    names.map((all) => all.join('|')),
    columns.map(([, , unit]) => unit ?? ''),
    copies(gpus).flatMap((copy) =>
      rows.map((row) =>
        row.map((cell, at) => identity(names[at] ?? [], bare(cell, columns[at]?.[2] ?? ''), copy)),
      ),
    ),
  );
}

const bare = (cell: string, unit: string): string =>
  unit !== '' && cell.endsWith(` ${unit}`) ? cell.slice(0, -unit.length - 1) : cell;

/** A process name may hold the separator: what is too much belongs to it. */
function splitRow(line: string, count: number, names: readonly (readonly string[])[]): string[] {
  const cells = line.replace(/\r$/, '').split(', ');
  const free = names.findIndex((all) => all.includes('process_name'));
  const over = cells.length - count;
  if (free < 0 || over <= 0) return cells;
  return [
    ...cells.slice(0, free),
    cells.slice(free, free + over + 1).join(', '),
    ...cells.slice(free + over + 1),
  ];
}

function identity(names: readonly string[], cell: string, copy: number): string {
  if (copy === 0) return cell;
  if (names.includes('uuid') || names.includes('gpu_uuid')) return otherUuid(cell, copy);
  if (names.includes('pci.bus_id') || names.includes('gpu_bus_id')) return otherBus(cell, copy);
  return names.includes('index') ? String(Number(cell) + copy) : cell;
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
const otherUuid = (uuid: string, copy: number): string =>
  uuid.replace(/^((?:GPU|MIG)-[0-9a-f]{8}-)[0-9a-f]{4}/i, (_, head: string) => head + hex(copy, 4));
/** Copies lie in PCI domains of their own, which no recording has. */
const otherBus = (busId: string, copy: number): string =>
  busId.replace(/^([0-9a-f]*)[0-9a-f]{2}:/i, (_, head: string) => `${head}${hex(copy, 2)}:`);

function multiplyPmon(text: string, gpus: number): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const rows = lines.filter((line) => !line.startsWith('#'));
  const header = lines.filter((line) => line.startsWith('#')).slice(0, 2);
  const numbered = copies(gpus).flatMap((copy) =>
    rows.map((row) => row.replace(/^\s*\d+/, (index) => String(Number(index) + copy).padStart(index.length))),
  );
  return `${[...header, ...numbered].join('\n')}\n`;
}

function multiplyList(text: string, gpus: number): string {
  return copies(gpus)
    .map((copy) =>
      text
        .replaceAll(/^GPU (\d+)/gm, (_, index: string) => `GPU ${Number(index) + copy}`)
        .replaceAll(/(?:GPU|MIG)-[0-9a-f-]{30,}/gi, (uuid) => (copy === 0 ? uuid : otherUuid(uuid, copy))),
    )
    .join('');
}

function multiplyXml(text: string, gpus: number): string {
  const blocks = text.match(/^[ \t]*<gpu id="[\s\S]*?<\/gpu>\n*/gm) ?? [];
  const [first] = blocks;
  if (first === undefined || gpus === 1) return text;
  const at = text.indexOf(first);
  const end = text.lastIndexOf('</gpu>') + '</gpu>'.length;
  const all = copies(gpus).flatMap((copy) =>
    blocks.map((block) => (copy === 0 ? block : copyOf(block, copy))),
  );
  return (
    text.slice(0, at) +
    all.map((block) => `${block.trimEnd()}\n`).join('\n') +
    text.slice(end)
  ).replace(/<attached_gpus>\d+</, `<attached_gpus>${all.length}<`);
}

function copyOf(block: string, copy: number): string {
  return block
    .replace(/<gpu id="([^"]+)"/, (_, busId: string) => `<gpu id="${otherBus(busId, copy)}"`)
    .replace(/(<pci_bus_id>)([^<]+)/, (_, tag: string, busId: string) => tag + otherBus(busId, copy))
    .replace(/(<uuid>)([^<]+)/, (_, tag: string, uuid: string) => tag + otherUuid(uuid, copy))
    .replace(/(<minor_number>)(\d+)/, (_, tag: string, minor: string) => `${tag}${Number(minor) + copy}`);
}
