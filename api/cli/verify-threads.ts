/** Starts the threads of `gpuledger verify`. */
import { Worker } from 'node:worker_threads';
import type { VerifyParts, VerifyThread } from '../services/verify-parts.ts';

type Message = { readonly hour: true } | { readonly parts: VerifyParts };

/**
 * As many threads of one database file; each starts when it is given its nodes, and ends with them. When one fails the
 * others are ended: there is no answer without it.
 */
export function createVerifyThreads(file: string, count: number): VerifyThread[] {
  const running = new Set<Worker>();
  const thread: VerifyThread = (nodes, { signatures = true }, onHour) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./verify-thread.ts', import.meta.url), {
        workerData: { file, nodes, signatures },
      });
      running.add(worker);
      const fail = (error: unknown): void => {
        reject(error);
        for (const one of running) void one.terminate();
      };
      worker.on('message', (message: Message) => {
        if ('parts' in message) resolve(message.parts);
        else onHour();
      });
      worker.on('error', fail);
      worker.on('exit', (code) => {
        running.delete(worker);
        if (code !== 0) fail(new Error('a thread ended before its part was verified'));
      });
    });
  return new Array<VerifyThread>(count).fill(thread);
}
