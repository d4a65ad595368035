/** A real Chromium for tests: the system's where there is one, else the one that npm brought. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import chromium from '@sparticuz/chromium';
import { type Browser, chromium as playwright } from 'playwright-core';

const SYSTEM_CHROMIUM = '/usr/bin/chromium';
/** Keeps the browser from looking for its maker's hosts. */
const QUIET = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
];

/** Flags of the packed browser that suit a function in a cloud and not a test: one process for all, and no same-origin. */
const UNWANTED = ['--single-process', '--no-zygote', '--disable-web-security'];

export async function openBrowser(): Promise<Browser> {
  if (existsSync(SYSTEM_CHROMIUM))
    return playwright.launch({
      executablePath: SYSTEM_CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu', ...QUIET],
    });
  const executablePath = await unpack();
  return playwright.launch({
    executablePath,
    headless: true,
    args: [...chromium.args.filter((flag) => !UNWANTED.includes(flag)), '--no-sandbox', ...QUIET],
  });
}

/** One of the processes that test side by side unpacks it; the others must not start what is half written. */
async function unpack(): Promise<string> {
  const begun = join(tmpdir(), 'chromium-is-unpacked');
  const done = join(begun, 'done');
  try {
    mkdirSync(begun);
  } catch {
    while (!existsSync(done)) await wait(50);
    return chromium.executablePath();
  }
  const path = await chromium.executablePath();
  writeFileSync(done, '');
  return path;
}
