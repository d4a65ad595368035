/** What a version of a job says of itself beside its columns, as one JSON text. Members that say nothing are not there. */
import { z } from 'zod';
import { canonicalJson } from '../../contract/canonical.ts';
import { JOB_MARKS } from '../../contract/jobs.ts';
import type { Job } from '../../domain/job.ts';

const Promises = z.object({
  image: z.string().nullable().default(null),
  entrypoint: z.array(z.string()).default([]),
  commandPattern: z.string().nullable().default(null),
  peers: z.array(z.string()).default([]),
  processesPerDevice: z.int().nullable().default(null),
  within: z.object({ source: z.string(), externalId: z.string() }).nullable().default(null),
  attributes: z.record(z.string(), z.string()).default({}),
  marks: z.array(z.enum(JOB_MARKS)).default([]),
});
export type Promises = z.infer<typeof Promises>;

export function encodePromises({ declares, within, attributes, marks }: Job): string {
  const { executables: _, root: __, ...promises } = declares;
  const members = Object.entries({ ...promises, within, attributes, marks });
  return canonicalJson(Object.fromEntries(members.filter(([, value]) => value !== undefined)));
}

/** The minor numbers of an allocation, as they are stored. */
export const indicesOf = (text: string): number[] => z.array(z.int()).parse(JSON.parse(text));

/** Every member, null and empty where it says nothing. */
export const decodePromises = (text: string): Promises => Promises.parse(JSON.parse(text));

/** The same for the domain, which has only the members that say something. */
export function promisesOf(text: string): {
  readonly declares: Omit<Job['declares'], 'executables' | 'root'>;
  readonly rest: Pick<Job, 'within' | 'attributes' | 'marks'>;
} {
  const { image, entrypoint, commandPattern, peers, processesPerDevice, within, attributes, marks } =
    decodePromises(text);
  return {
    declares: {
      ...(image === null ? {} : { image }),
      ...(entrypoint.length === 0 ? {} : { entrypoint }),
      ...(commandPattern === null ? {} : { commandPattern }),
      ...(peers.length === 0 ? {} : { peers }),
      ...(processesPerDevice === null ? {} : { processesPerDevice }),
    },
    rest: {
      ...(within === null ? {} : { within }),
      ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
      ...(marks.length === 0 ? {} : { marks }),
    },
  };
}
