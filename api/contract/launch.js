// Starts a program of ours on a Node that runs TypeScript: this one, or the one that npm installed beside us.
// Plain JavaScript, so that any Node can read it and a person with an old one, or without libraries, is told what to do.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../../', import.meta.url));
const BUNDLED = `${TOP}node_modules/node-${process.platform}-${process.arch}/bin/node`;
const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** `name`: what messages call it; `main`: URL of its TypeScript; `exitUnsaid`: exit code where an answer cannot be written. */
export async function launch(name, main, exitUnsaid = 1) {
  process.stdout.on('error', (error) => {
    // Whoever reads us through `head` has seen enough; that is no error.
    if (error.code === 'EPIPE') return;
    fail(`${name}: what it has to say cannot be written: ${error.message}`);
    process.exit(exitUnsaid);
  });
  // Then there is nobody left to tell.
  process.stderr.on('error', () => undefined);
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) await load(name, main);
  else if (existsSync(BUNDLED)) delegate(name);
  else
    fail(
      `${name} needs Node 22.18 or newer, and this is ${process.versions.node}. ` +
        `Run "npm ci" in ${TOP}, which brings one along, or install a newer Node.`,
    );
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exitCode = 1;
}

async function load(name, main) {
  try {
    await import(main.href);
  } catch (error) {
    const { code, message } = error;
    if (code === 'ERR_MODULE_NOT_FOUND' && /^Cannot find package/.test(message))
      fail(`${name}: its libraries are not installed. Run "npm ci" in ${TOP}`);
    else if (code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING')
      fail(`${name} does not run from a node_modules folder. Clone its repository, and run "npm ci" there.`);
    else throw error;
  }
}

/** Runs the same program with the same arguments on the Node beside us, and ends as it ends. */
function delegate(name) {
  const child = spawn(BUNDLED, process.argv.slice(1), { stdio: 'inherit' });
  for (const signal of PASSED_ON)
    process.on(signal, () => {
      // Ctrl-C at a terminal reaches the child by itself; twice would mean something else.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  child.once('error', (error) => fail(`${name}: ${BUNDLED} does not start: ${error.message}`));
  child.once('exit', (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else process.exitCode = code ?? 1;
  });
}
