/** What a source says, sent to a service as it comes, and kept to be looked at. */
import type { NodeCondition, SourceProblem, SourceSink } from '../../api/schedulers/source.ts';

export interface RecordingSink extends SourceSink {
  readonly problems: SourceProblem[];
  readonly said: NodeCondition[];
  completeToMs: number;
}

export function sinkTo(url: string, token: string, source: string): RecordingSink {
  const send = async (method: string, path: string, body: unknown): Promise<unknown> => {
    const answer = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  };
  const time = (ms: number): string => new Date(ms).toISOString();
  const sink: RecordingSink = {
    problems: [],
    said: [],
    completeToMs: 0,
    async declare(jobs) {
      const answer = await send('POST', '/v1/jobs/bulk', { jobs });
      const refused = JSON.stringify(answer).match(/"refused"/g);
      if (refused !== null) throw new Error(`refused: ${JSON.stringify(answer)}`);
    },
    async complete(ms) {
      await send('PUT', `/v1/sources/${source}`, { completeTo: time(ms) });
      sink.completeToMs = ms;
    },
    endMissing: async () => undefined,
    async conditions(conditions) {
      sink.said.push(...conditions);
      const body = conditions.map(({ fromMs, toMs, ...one }) => ({
        ...{ ...one, from: time(fromMs), to: toMs === null ? null : time(toMs) },
      }));
      await send('PUT', `/v1/sources/${source}/conditions`, { conditions: body });
    },
    problem: (problem) => void sink.problems.push(problem),
  };
  return sink;
}
