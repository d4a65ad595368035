/** Starts the threads of `gpuledger verify`. */
import { Worker } from 'node:worker_threads';
import type { VerifyPart, VerifyThread } from '../services/verify.ts';

type Message = { readonly hour: true } | { readonly part: VerifyPart };

/** As many threads of one database file; each starts when it is given its nodes, and ends with them. */
export function createVerifyThreads(file: string, count: number): VerifyThread[] {
  const thread: VerifyThread = (nodes, { signatures = true }, onHour) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./verify-thread.ts', import.meta.url), {
        workerData: { file, nodes, signatures },
      });
      worker.on('message', (message: Message) => {
        if ('part' in message) resolve(message.part);
        else onHour();
      });
      worker.on('error', reject);
      worker.on('exit', () => reject(new Error('a thread ended before its part was verified')));
    });
  return new Array<VerifyThread>(count).fill(thread);
}
