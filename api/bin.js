#!/usr/bin/env node
// Starts gpuledger on a Node that can run it: this one, or the one that npm installed beside us. Runs on any Node.
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  await import('./cli/main.ts');
} else {
  const { existsSync } = await import('node:fs');
  const { spawn } = await import('node:child_process');
  const { constants } = await import('node:os');
  const { fileURLToPath } = await import('node:url');
  const own = fileURLToPath(
    new URL(`../node_modules/node-${process.platform}-${process.arch}/bin/node`, import.meta.url),
  );
  if (existsSync(own)) {
    const main = fileURLToPath(new URL('./cli/main.ts', import.meta.url));
    const child = spawn(own, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
      process.on(signal, () => {
        // Ctrl-C at a terminal reaches the child by itself.
        if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
      });
    child.on('exit', (code, signal) => {
      process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1));
    });
  } else {
    console.error(
      `gpuledger needs Node 22.18 or newer; this is ${process.versions.node}.\n` +
        'Run "npm ci" in its folder, which brings one along, or install a newer Node.',
    );
    process.exitCode = 1;
  }
}
