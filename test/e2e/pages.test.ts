/**
 * The pages in real Chromium over the real service: signing in, news that arrives by itself, every page in light and
 * dark and on a phone, hostile text, the keyboard, and an outage. What the browser itself looks for is in page-checks.js.
 */
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ConflictList } from '../../api/contract/conflicts.ts';
import { FindingList } from '../../api/contract/findings.ts';
import { JobList } from '../../api/contract/jobs.ts';
import { openBrowser } from './browser.ts';
import { createPagesSite, HOSTILE, type PagesSite, SHOWN_PATH } from './pages-site.ts';

const CHECKS = fileURLToPath(new URL('page-checks.js', import.meta.url));
const WIDE = { width: 1440, height: 900 };
/** Longer than anything here takes on a busy machine, shorter than a test may. */
const WAIT_MS = 8_000;
const PHONE = { width: 390, height: 844 };
/** The browser says so when the service is away or an address leads nowhere, and rightly. */
const EXPECTED_NOISE = /Failed to load resource/;

let site: PagesSite;
let browser: Browser;
let context: BrowserContext;
let page: Page;
/** Everything that no page may cause: errors in the console, exceptions, dialogs. */
const faults: string[] = [];

function watch(watched: Page): void {
  watched.on('console', (message) => {
    if (message.type() === 'error' && !EXPECTED_NOISE.test(message.text())) faults.push(message.text());
  });
  watched.on('pageerror', (error) => faults.push(error.message));
  watched.on('dialog', (dialog) => {
    faults.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
}

/** Opens an address and waits until nothing on it is awaited any more. */
async function open(path: string): Promise<void> {
  await page.goto(site.url + path);
  await page.locator('h1').waitFor();
  await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' });
}

const look = (): Promise<string[]> => page.evaluate('pageChecks()');
const focused = (): Promise<string> => page.evaluate('document.activeElement.textContent');

beforeAll(async () => {
  [site, browser] = await Promise.all([createPagesSite(), openBrowser()]);
  context = await browser.newContext({ viewport: WIDE, colorScheme: 'light' });
  await context.addInitScript({ path: CHECKS });
  page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  watch(page);
  await page.clock.setFixedTime(site.clock.nowMs());
});
beforeEach(async () => {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(WIDE);
});
afterAll(async () => {
  await browser?.close();
  await site?.stop();
});

describe('signing in', () => {
  test('without a session every address leads to how to sign in', async () => {
    await open('/nodes?search=n1');
    expect(await page.locator('h1, h2').allTextContents()).toEqual(['gpuledger', 'Open the sign-in link']);
    expect(await look()).toEqual([]);
  });

  test('a link signs in one browser, once', async () => {
    const link = await site.signInLink();
    expect((await page.goto(link))?.url()).toBe(`${site.url}/`);
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    const again = await fetch(link, { redirect: 'manual' });
    expect(again.status).toBe(401);
  });
});

describe('an unaccounted process', () => {
  test('turns the open overview red without a reload', async () => {
    await open('/');
    const verdict = page.getByRole('region', { name: 'Verdict' });
    await verdict.getByText('All accounted for').waitFor();
    await page.evaluate('window.sameDocument = true');
    await site.divert();
    await page.clock.setFixedTime(site.clock.nowMs());
    await verdict.getByText('1 source is still running').waitFor({ timeout: 10_000 });
    expect(await page.evaluate('window.sameDocument')).toBe(true);
    expect(await page.locator('.verdict-unaccounted').count()).toBe(1);
  });

  test('is one click from the overview, told with lineage, tunnel and scan', async () => {
    await page.getByRole('region', { name: 'Verdict' }).getByRole('link', { name: 'on n1' }).click();
    await page.getByRole('heading', { level: 1, name: /^No declaration covers/ }).waitFor();
    const tree = page.getByRole('tree');
    expect(await tree.getByRole('treeitem').count()).toBe(4);
    expect(await tree.locator('[aria-selected=true]').textContent()).toContain('Source');
    const connections = page.getByRole('region', { name: 'Connections' });
    await connections.getByText('198.51.100.7:22').waitFor();
    await connections.getByText('and 61 more').waitFor();
    await page.getByText('is none of what the job declared').waitFor();
    await page.getByText(SHOWN_PATH).first().waitFor();
  });

  test('its tunnel is an observation with a story of its own, not unaccounted time', async () => {
    const { items } = FindingList.parse(await site.ask('GET', '/v1/findings?reason=reverse_tunnel'));
    await open(`/findings/${items[0]?.id}`);
    await page
      .getByRole('heading', { level: 1, name: /^Reverse tunnel out of a job: \/usr\/bin\/ssh/ })
      .waitFor();
    expect(await page.getByText('No declaration covers').count()).toBe(0);
    expect(await page.getByRole('heading', { name: 'What it cost' }).count()).toBe(0);
  });
});

describe('every page', () => {
  async function addresses(): Promise<string[]> {
    const findings = FindingList.parse(await site.ask('GET', '/v1/findings'));
    const jobs = JobList.parse(await site.ask('GET', '/v1/jobs'));
    expect([findings.items.length, jobs.items.length]).toEqual([3, 2]);
    return [
      ...[
        '/',
        '/?range=month',
        '/?range=nonsense',
        '/unaccounted',
        '/unaccounted?search=nothing',
        '/jobs',
        '/conflicts',
        '/nodes',
      ],
      ...[
        '/nodes/n1',
        `/nodes/${encodeURIComponent(HOSTILE.node)}`,
        '/nodes/none',
        '/chargeback',
        '/nowhere',
      ],
      ...findings.items.map((finding) => `/findings/${finding.id}`),
      ...jobs.items.map((job) => `/jobs/${job.id}`),
      ...['/findings/f_none', '/chargeback?period=2020-01'],
    ];
  }

  test.each([
    ['light', WIDE],
    ['dark', PHONE],
  ] as const)(
    'in %s is whole, named, in order, inert and no wider than its window',
    async (colorScheme, size) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(size);
      const found: Record<string, string[]> = {};
      for (const path of await addresses()) {
        await open(path);
        for (const canvas of await page.locator('canvas').all()) await canvas.hover();
        const seen = await look();
        if (seen.length > 0) found[path] = seen;
      }
      expect(found).toEqual({});
      expect(await page.evaluate('document.documentElement.dataset.mantineColorScheme')).toBe(colorScheme);
    },
  );

  test('would be found out: the checks see what they look for', async () => {
    await open('/nowhere');
    const planted = '<h4>deep</h4><button></button><input><table></table><img src=x onerror="window.__x=1">';
    const html = `${planted}<a href="https://evil.example">away</a><p id="main" style="width:3000px">wide</p>`;
    await page.evaluate(`document.body.insertAdjacentHTML('beforeend', '${html}')`);
    const seen = (await look()).join('\n');
    for (const fault of [
      'level 4',
      'has no name: <button',
      'has no name: <input',
      'without caption',
      'stands twice',
    ])
      expect(seen).toContain(fault);
    for (const fault of ['came from a workload: <img', 'leads away', 'wider than the window'])
      expect(seen).toContain(fault);
    await expect.poll(() => faults.length).toBe(1);
    expect(faults.splice(0)[0]).toContain('inline event handler');
  });

  test('shows hostile text as text', async () => {
    await open('/jobs');
    await page.getByText(HOSTILE.name, { exact: true }).waitFor();
    await page.getByText(HOSTILE.account, { exact: true }).first().waitFor();
    await page.getByText('\\u{202e}gnp.exe').first().waitFor();
    await open('/nodes');
    await page.getByText(HOSTILE.model, { exact: true }).waitFor();
  });
});

describe('two claims on one device', () => {
  test('are listed once they are declared', async () => {
    await site.contest();
    const listed = async () => ConflictList.parse(await site.ask('GET', '/v1/conflicts')).items.length;
    await expect.poll(listed, { timeout: WAIT_MS }).toBe(2);
  });

  test.each([
    ['light', WIDE],
    ['dark', PHONE],
  ] as const)(
    'are rows in %s: who claims what, since when, and how much is divided',
    async (scheme, size) => {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize(size);
      await open('/conflicts');
      await page.getByText('All 2 shown').waitFor();
      const [past, running] = [HOSTILE.reversed, 'pod-runs'].map((name) =>
        page.getByRole('row').filter({ hasText: name.slice(-8) }),
      );
      await running?.getByText('Goes on').waitFor();
      expect(await past?.getByText('Goes on').count()).toBe(0);
      // An hour of one device that is past, and the minutes of the open one that are booked.
      expect(await past?.getByRole('cell').last().textContent()).toBe('1.00');
      expect(await running?.getByRole('cell').last().textContent()).toBe('0.35');
      for (const row of [past, running]) {
        expect(await row?.getByRole('link').allTextContents()).toHaveLength(3);
        expect(await row?.getByText('GPU 0').count()).toBe(1);
      }
      expect(await look()).toEqual([]);
    },
  );

  test('are filtered in the address, counted on the overview, and lead to the job that tells of them', async () => {
    await open('/conflicts');
    await page.getByLabel('State').selectOption('running');
    await page.getByText('All 1 shown').waitFor();
    expect(page.url()).toBe(`${site.url}/conflicts?state=running`);
    await page.getByRole('link', { name: 'kubernetes pod-2' }).click();
    await page.waitForURL('**/jobs/*');
    await page.getByRole('link', { name: 'Conflicting claims' }).waitFor();
    await open('/');
    // Not "conflicts": of the two one goes on.
    await page.getByText('conflict now', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'Who claims the same devices' }).click();
    await page.getByRole('heading', { level: 1, name: 'Conflicting claims' }).waitFor();
  });
});

describe('the keyboard', () => {
  test('skips to the content, and goes from the overview to the finding and through its tree', async () => {
    await open('/');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    const lead = page.locator('.verdict-worst:focus-visible');
    for (let press = 0; press < 12 && (await lead.count()) === 0; press += 1)
      await page.keyboard.press('Tab');
    expect(await focused()).toContain('on n1');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).not.toBe('none');
    await page.keyboard.press('Enter');
    await page.getByRole('tree').waitFor();
    expect(await focused()).toMatch(/^No declaration covers/);

    await page.locator('[role=treeitem][tabindex="0"]').focus();
    await page.keyboard.press('Home');
    expect(await focused()).toContain('/usr/bin/bash');
    await page.keyboard.press('ArrowLeft');
    expect(await page.getByRole('treeitem').count()).toBe(1);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    expect(await focused()).toContain('/usr/bin/python3.11');
    await page.goBack();
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  });

  test('a filter, an order and a range are in the address, and stay there over a reload', async () => {
    await open('/unaccounted');
    await page.getByLabel('Reason').selectOption('foreign_in_job');
    await page.getByRole('button', { name: 'Active GPU-h' }).click();
    await page.getByText('All 1 shown').waitFor();
    expect(page.url()).toBe(`${site.url}/unaccounted?reason=foreign_in_job&sort=activeMs&order=desc`);
    await page.reload();
    await page.getByText('All 1 shown').waitFor();
    await open('/');
    await page.getByText('7 days', { exact: true }).click();
    await page.waitForURL('**/?range=7d');
  });
});

test('an outage is said, and ends by itself', async () => {
  await open('/');
  await page.getByText('Live', { exact: true }).waitFor();
  await site.stopService();
  await page.getByRole('alert').getByText('The service has not answered since').waitFor({ timeout: 15_000 });
  await page.getByRole('region', { name: 'Verdict' }).getByText('still running').first().waitFor();
  await site.startService();
  await page.getByText('Live', { exact: true }).waitFor({ timeout: 20_000 });
  expect(await page.getByText('The service has not answered since').count()).toBe(0);
});

test('who could not be asked for the session just now is still told of an outage', async () => {
  await open('/');
  await page.getByText('Live', { exact: true }).waitFor();
  let asked = 0;
  await page.route('**/v1/session', (request) => {
    asked += 1;
    return request.abort();
  });
  const alert = page.getByRole('alert').getByText('The service has not answered since');
  for (const _ of ['with a session', 'without']) {
    await site.stopService();
    await alert.waitFor({ timeout: 15_000 });
    await site.startService();
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 20_000 });
    await expect.poll(() => asked, { timeout: 20_000 }).toBeGreaterThanOrEqual(3);
  }
  await page.unroute('**/v1/session');
});

test('signing out leads back to how to sign in', async () => {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Open the sign-in link' }).waitFor();
});

test('in all of this no page has failed, complained or asked anything', () => {
  expect(faults).toEqual([]);
});
