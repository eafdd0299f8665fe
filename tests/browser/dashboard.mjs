// Looks at the dashboard of a running host in a headless Chromium, over its DevTools protocol. Node's own library only.
//
//   node tests/browser/dashboard.mjs URL [--screenshot FILE] [--wait SECONDS]
//
// What must be on the page is taken from `GET /v1/pipeline`, asked apart from the page, not from what the page draws. It waits
// (60 s unless told) until all of it is there and records were counted while it looked.
// Exit codes: 0 all is as it should be, 1 something is not, 2 a wrong call, 77 no browser or no WebSocket here: nothing was tested.

import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SKIPPED = 77;
const WIDE = { width: 1280, height: 900 }, NARROW = { width: 390, height: 844 };
/** A command of the browser that takes longer means that the browser hangs. */
const COMMAND_MS = 20_000;
const LOOK_AGAIN_MS = 250;
/** Without these the browser looks for its maker's servers, which fails loudly where there is no way out. */
const QUIET = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--disable-dev-shm-usage', '--force-color-profile=srgb', '--hide-scrollbars'];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function end(code, line) {
  (code === 0 ? console.log : console.error)(line);
  process.exit(code);
}

function parse(args) {
  const usage = 'usage: node dashboard.mjs URL [--screenshot FILE] [--wait SECONDS]';
  const called = { url: null, screenshot: null, wait: 60 };
  while (args.length) {
    const word = args.shift();
    if (word === '--screenshot' && args.length) called.screenshot = args.shift();
    else if (word === '--wait' && Number(args[0]) > 0) called.wait = Number(args.shift());
    else if (called.url === null && URL.canParse(word)) called.url = new URL(word);
    else end(2, `unexpected \`${word}\`; ${usage}`);
  }
  return called.url ? called : end(2, usage);
}

/** Node 20 has WebSocket behind an option: this script starts itself again with it. */
async function haveWebSocket() {
  if (typeof WebSocket !== 'undefined') return;
  const option = '--experimental-websocket', self = fileURLToPath(import.meta.url);
  if (process.execArgv.includes(option) || !process.allowedNodeEnvironmentFlags.has(option)) {
    end(SKIPPED, `skipped: Node ${process.version} has no WebSocket; 22 has it, 20.10 has it by \`${option}\``);
  }
  const again = spawn(process.execPath, [option, '--no-warnings', self, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => again.kill(signal));
  process.exit(await new Promise((done) => again.on('close', (code) => done(code ?? 1))));
}

function findBrowser() {
  const runs = (path) => {
    try { accessSync(path, constants.X_OK); return statSync(path).isFile(); } catch { return false; }
  };
  const { CHROMIUM, PATH = '' } = process.env;
  if (CHROMIUM) return runs(CHROMIUM) ? CHROMIUM : end(SKIPPED, `skipped: no program at CHROMIUM=\`${CHROMIUM}\``);
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const found = names.flatMap((name) => PATH.split(delimiter).filter(Boolean).map((folder) => join(folder, name))).find(runs);
  return found ?? end(SKIPPED, `skipped: no Chromium; none of ${names.join(', ')} is on PATH, and CHROMIUM is not set`);
}

// ---- the browser

/** A browser of our own, with a profile of its own, and one page in it. */
class Browser {
  #last = 0;
  #waiting = new Map();
  #hear = () => {};

  static async start(program) {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), 'dashboard-'));
    // Chromium's sandbox refuses to run for root.
    const flags = [...QUIET, ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
    browser.process = spawn(program, ['--headless', ...flags, `--user-data-dir=${browser.profile}`, '--remote-debugging-port=0', 'about:blank'],
      { stdio: ['ignore', 'ignore', 'pipe'], detached: true });       // a group of its own: Chromium is many processes
    const address = await new Promise((found, failed) => {
      let said = '';
      const late = setTimeout(() => failed(new Error(`\`${program}\` did not say where it listens within ${COMMAND_MS / 1000} s: ${said}`)), COMMAND_MS);
      browser.process.on('error', (error) => failed(new Error(`failed to start \`${program}\`: ${error.message}`)));
      browser.process.on('exit', (code, signal) => failed(new Error(`\`${program}\` ended (${signal ?? code}): ${said}`)));
      browser.process.stderr.on('data', (bytes) => {
        said = (said + bytes).slice(-4000);
        const line = /DevTools listening on (ws:\S+)/.exec(said);
        if (line) { clearTimeout(late); found(line[1]); }
      });
    }).catch((error) => { browser.stop(); throw error; });
    browser.socket = new WebSocket(address);
    await new Promise((open, failed) => {
      browser.socket.onopen = open;
      browser.socket.onerror = () => failed(new Error(`failed to connect to \`${address}\``));
    });
    browser.socket.onmessage = ({ data }) => browser.#take(JSON.parse(data));
    browser.socket.onclose = () => {
      for (const { failed } of browser.#waiting.values()) failed(new Error('the browser closed the connection'));
    };
    const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
    browser.session = (await browser.send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
    return browser;
  }

  /** What the page does is told to `hear(method, params)`. */
  listen(hear) { this.#hear = hear; }

  #take(message) {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) { if (message.method) this.#hear(message.method, message.params); return; }
    this.#waiting.delete(message.id);
    if (message.error) waiting.failed(new Error(`${waiting.method}: ${message.error.message}`)); else waiting.done(message.result);
  }

  send(method, params = {}) {
    this.#last += 1;
    const id = this.#last;
    return new Promise((done, failed) => {
      const late = setTimeout(() => failed(new Error(`${method}: no answer within ${COMMAND_MS / 1000} s`)), COMMAND_MS);
      const over = (then) => (value) => { clearTimeout(late); then(value); };
      this.#waiting.set(id, { method, done: over(done), failed: over(failed) });
      this.socket.send(JSON.stringify({ id, method, params, sessionId: this.session }));
    });
  }

  /** Runs a function in the page; what it gives comes back as JSON. */
  async run(work, ...args) {
    const expression = `(${work})(...${JSON.stringify(args)})`;
    const { result, exceptionDetails: error } = await this.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (error) throw new Error(`in the page: ${error.exception?.description ?? error.text}`);
    return result.value;
  }

  async size({ width, height }) {
    await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
    await this.run(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null)))));
  }

  stop() {
    try { process.kill(-this.process.pid, 'SIGKILL'); } catch { /* It is gone already, or never was. */ }
    // Its processes may still write for a moment.
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

// ---- what is seen on the page

/** Runs in the page: everything the checks need, as one picture of one moment. */
function look() {
  const text = (node) => (node?.textContent ?? '').trim();
  const shown = (node) => Boolean(node) && node.getClientRects().length > 0;
  const rows = (id) => [...(document.getElementById(id)?.querySelectorAll('tbody tr') ?? [])].filter(shown);
  const hops = [...document.querySelectorAll('[id^="hop-"]')].filter(shown);
  return {
    hops: hops.map((hop) => ({ name: hop.id.slice(4), state: text(hop.querySelector('.state')), records: text(hop.querySelector('[data-figure="records"]')) })),
    rates: [...document.querySelectorAll('.rates b')].map(text).filter(Boolean),
    bars: [...document.querySelectorAll('#edits-chart .bar')].filter((bar) => bar.getBoundingClientRect().height > 0).length,
    who: text(document.getElementById('robots-people')),
    pages: rows('top-pages').map((row) => [...row.cells].map(text)),
    tasks: rows('tasks').map((row) => [...row.cells].map(text)).filter((cells) => cells.length > 1),
    connection: text(document.getElementById('connection')),
    // Records are written by strangers: none of them may become an element.
    strangers: document.querySelectorAll('img, iframe, object, embed, form, base, a[href^="javascript"]').length + Math.max(0, document.scripts.length - 1),
  };
}

const number = (text) => (/^[\d,]+$/.test(text) ? Number(text.replaceAll(',', '')) : null);
const total = (seen) => seen.hops.reduce((all, hop) => all + (number(hop.records) ?? 0), 0);

/** What is not as it should be; `wanted` is the answer of the host, `before` an earlier look. */
function missing(seen, wanted, before) {
  const faults = [], fault = (line) => faults.push(line);
  if (wanted.hops.length === 0) fault('the host runs no connector');
  for (const { name } of wanted.hops) {
    const hop = seen.hops.find((box) => box.name === name);
    if (!hop) fault(`no box \`hop-${name}\``);
    else if (!/^[A-Z_]{4,}$/.test(hop.state)) fault(`box \`hop-${name}\`: found \`${hop.state}\`, expected a state in a word`);
    else if (number(hop.records) === null) fault(`box \`hop-${name}\`: found \`${hop.records}\`, expected a count of records`);
  }
  if (before && !(total(seen) > total(before))) fault(`records of all hops did not grow: ${total(before)}, then ${total(seen)}`);
  if (!seen.rates.some((rate) => /^\d/.test(rate))) fault('no arrow has a rate');
  if (seen.bars === 0) fault('`edits-chart` has no bars');
  if (!/[\d,]+ · [<>]? ?\d+ %.*[\d,]+ · [<>]? ?\d+ %/s.test(seen.who)) fault(`\`robots-people\`: found \`${seen.who.replace(/\s+/g, ' ')}\`, expected two numbers, each with its share`);
  if (!seen.pages.some(([page, wiki, edits]) => page && wiki && number(edits) !== null)) fault('`top-pages` has no rows of page, wiki and edits');
  if (!seen.tasks.some(([id, , stage]) => id && /^[a-z]+$/.test(stage))) fault('`tasks` has no rows with a stage');
  if (!seen.connection.startsWith('live')) fault(`the page says of the host: \`${seen.connection}\``);
  return faults;
}

/** Errors of the page, and requests to anybody but `origin`. */
function watch(browser, origin) {
  const faults = [];
  browser.listen((method, params) => {
    if (method === 'Runtime.consoleAPICalled' && ['error', 'assert'].includes(params.type)) {
      faults.push(`console: ${params.args.map((arg) => arg.description ?? arg.value).join(' ')}`);
    } else if (method === 'Runtime.exceptionThrown') {
      faults.push(`exception: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
    } else if (method === 'Log.entryAdded' && params.entry.level === 'error') {
      faults.push(`browser: ${params.entry.text} ${params.entry.url ?? ''}`);
    } else if (method === 'Network.requestWillBeSent' || method === 'Network.webSocketCreated') {
      const { url } = params.request ?? params;
      if (!url.startsWith('data:') && new URL(url).origin !== origin) faults.push(`request to another origin: ${url}`);
    } else if (method === 'Page.javascriptDialogOpening') {
      faults.push(`the page opened a dialog: ${params.message}`);
      browser.send('Page.handleJavaScriptDialog', { accept: false }).catch(() => {});
    } else if (method === 'Inspector.targetCrashed') {
      faults.push('the page crashed');
    }
  });
  return faults;
}

async function pipeline(url) {
  const address = new URL('v1/pipeline', url);
  try {
    const answer = await fetch(address, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`found HTTP ${answer.status}, expected 200`);
    const said = await answer.json();
    if (!Array.isArray(said?.hops)) throw new Error('found no `hops`');
    return said;
  } catch (error) {
    throw new Error(`GET ${address}: ${error.cause?.message ?? error.message}`);
  }
}

async function check(browser, { url, screenshot, wait }) {
  const faults = watch(browser, url.origin);
  for (const part of ['Page', 'Runtime', 'Log', 'Network']) await browser.send(`${part}.enable`);
  await browser.size(WIDE);
  const { errorText } = await browser.send('Page.navigate', { url: url.href });
  if (errorText) throw new Error(`failed to load ${url.href}: ${errorText}`);

  const until = Date.now() + wait * 1000;
  let before = null, seen = null, lacking = ['the page was not looked at'];
  while (Date.now() < until && lacking.length && !faults.length) {
    if (seen) await sleep(LOOK_AGAIN_MS);
    const wanted = await pipeline(url).catch((error) => error);
    seen = await browser.run(look);
    lacking = wanted instanceof Error ? [wanted.message] : missing(seen, wanted, before);
    // The first look at boxes is what growth is measured from, and itself proves none.
    if (before === null) lacking.push('records were not seen to grow');
    if (seen.hops.length) before ??= seen;
  }
  if (!faults.length) faults.push(...lacking);          // a page in errors lacks much that nobody need be told
  if (seen?.strangers) faults.push(`${seen.strangers} elements that the page does not have of its own`);

  if (screenshot) {
    const height = await browser.run(() => document.documentElement.scrollHeight);
    const clip = { x: 0, y: 0, width: WIDE.width, height, scale: 1 };
    const { data } = await browser.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });
    writeFileSync(screenshot, Buffer.from(data, 'base64'));
    console.log(`screenshot: ${screenshot}, ${WIDE.width} x ${height}`);
  }
  for (const size of [NARROW, WIDE]) {
    await browser.size(size);
    const wide = await browser.run(() => [document.documentElement, ...document.querySelectorAll('section, [id^="hop-"]')]
      .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.id || node.localName));
    if (wide.length) faults.push(`at ${size.width} x ${size.height} content is wider than \`${wide.join('`, `')}\``);
  }
  return { faults, seen, before };
}

const called = parse(process.argv.slice(2));
await haveWebSocket();
const program = findBrowser();
let browser = null;
const stop = () => browser?.stop();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { stop(); process.exit(1); });
try {
  browser = await Browser.start(program);
  const { faults, seen, before } = await check(browser, called);
  for (const { name, state, records } of seen?.hops ?? []) console.log(`${name}: ${state}, ${records} records`);
  if (seen) {
    console.log(`records of all hops: ${before ? total(before) : 'none'}, then ${total(seen)}; ${seen.bars} bars, ${seen.pages.length} top pages, ${seen.tasks.length} tasks`);
  }
  for (const fault of faults) console.error(`FAULT ${fault}`);
  stop();
  end(faults.length ? 1 : 0, faults.length ? `failed, ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}: ${called.url.href}` : `passed: ${called.url.href}`);
} catch (error) {
  stop();
  end(1, `failed: ${error.message}`);
}
