/** A thread of `gpuledger verify`: some nodes, with a connection of its own. */
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { verifyPart } from '../services/verify.ts';
import { openSqlite } from '../store/sqlite/open.ts';

const Task = z.object({ file: z.string(), nodes: z.array(z.int()), signatures: z.boolean() });

const { file, nodes, signatures } = Task.parse(workerData);
const store = openSqlite({ file, readOnly: true });
try {
  const parts = await verifyPart(store, nodes, { signatures }, () => parentPort?.postMessage({ hour: true }));
  parentPort?.postMessage({ parts });
} finally {
  await store.close();
}
