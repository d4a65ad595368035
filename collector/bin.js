#!/usr/bin/env node
// Starts the agent on a Node that can run it: this one, or the one that npm installed beside us. Runs on any Node.
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  await import('./cli/main.ts');
} else {
  const { existsSync } = await import('node:fs');
  const { spawn } = await import('node:child_process');
  const { fileURLToPath } = await import('node:url');
  const own = fileURLToPath(
    new URL(`../node_modules/node-${process.platform}-${process.arch}/bin/node`, import.meta.url),
  );
  if (existsSync(own)) {
    const main = fileURLToPath(new URL('./cli/main.ts', import.meta.url));
    const child = spawn(own, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
    // The agent decides what a signal means; this process only passes it on and waits.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('exit', (code, signal) => {
      if (signal) {
        process.removeAllListeners(signal);
        process.kill(process.pid, signal);
      } else process.exitCode = code ?? 1;
    });
  } else {
    console.error(
      `gpuledger-agent needs Node 22.18 or newer; this is ${process.versions.node}.\n` +
        'Run "npm ci" in its folder, which brings one along, or install a newer Node.',
    );
    process.exitCode = 1;
  }
}
