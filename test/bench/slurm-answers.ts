/**
 * `sacct --json` of a cluster that never was, for the benchmark: jobs of ten minutes, evenly spread, as 26.05 writes them.
 *
 *     node slurm-answers.ts JOBS SPAN_SECONDS END_SECONDS --starttime T --endtime T …
 */
import { Buffer } from 'node:buffer';
import { fileURLToPath } from 'node:url';

const JOB_SECONDS = 600;
const CHUNK_CHARS = 65_536;

const set = (number: number) => `{"set":true,"infinite":false,"number":${number}}`;
const UNSET = '{"set":false,"infinite":false,"number":0}';

/** One row without steps, of about 2,000 bytes. */
export function accountingRow(id: number, start: number): string {
  const gpus = 1 + (id % 8);
  const end = start + JOB_SECONDS;
  const gres = (count: number) =>
    `{"type":"cpu","name":"","id":1,"count":${8 * count}},{"type":"mem","name":"","id":2,"count":65536},` +
    `{"type":"node","name":"","id":4,"count":1},{"type":"gres","name":"gpu","id":1001,"count":${count}},` +
    `{"type":"gres","name":"gpu:h100","id":1002,"count":${count}}`;
  return (
    `{"account":"research","comment":{"administrator":"","job":"budget-${id % 97}","system":""},"allocation_nodes":1,` +
    `"array":{"job_id":0,"limits":{"max":{"running":{"tasks":0}}},"task_id":${UNSET},"task":""},"association":` +
    `{"account":"research","cluster":"lab","partition":"","user":"user${id % 40}","id":5},"block":"","cluster":"lab","constraints":"",` +
    `"container":"","derived_exit_code":{"status":["SUCCESS"],"return_code":${set(0)},"signal":{"id":${UNSET},"name":""}},` +
    `"time":{"elapsed":${JOB_SECONDS},"eligible":${start - 3},"end":${end},"planned":${set(3)},"start":${start},` +
    `"submission":${start - 3},"suspended":0,"system":{"seconds":0,"microseconds":0},"limit":${set(30)},` +
    `"total":{"seconds":0,"microseconds":0},"user":{"seconds":0,"microseconds":0}},"exit_code":{"status":["SUCCESS"],` +
    `"return_code":${set(0)},"signal":{"id":${UNSET},"name":""}},"extra":"","failed_node":"","flags":["STARTED_ON_SCHEDULE",` +
    `"START_RECEIVED"],"group":"users","het":{"job_id":0,"job_offset":${UNSET}},"job_id":${id},"name":"train-${id}","licenses":"",` +
    `"mcs":{"label":""},"nodes":"gpu${1 + (id % 64)}","partition":"gpu","hold":false,"priority":${set(1)},"qos":"normal","qosreq":"",` +
    `"required":{"CPUs":2,"memory_per_cpu":${UNSET},"memory_per_node":${set(512)}},"kill_request_user":"","restart_cnt":0,` +
    `"reservation":{"id":0,"name":"","requested":""},"script":"","stdout":"/home/u/%x-%j.out","stderr":"","stdin":"/dev/null",` +
    `"state":{"current":["COMPLETED"],"reason":"None"},"steps":[],"submit_line":"sbatch --gres=gpu:${gpus} train.sh","tres":` +
    `{"allocated":[${gres(gpus)}],"requested":[${gres(gpus)}]},"used_gres":"","user":"user${id % 40}","wckey":{"wckey":"","flags":[]},` +
    `"working_directory":"/home/u"}`
  );
}

/** The answer in parts. Job i of `jobs` begins evenly spread over `span` seconds before `end`. */
export function* accountingAnswer(
  jobs: number,
  span: number,
  end: number,
  window: { readonly from: number; readonly to: number },
): Generator<Buffer> {
  const first = end - span;
  const at = (seconds: number): number => Math.ceil(((seconds - first) / span) * jobs);
  const from = Math.max(0, at(window.from - JOB_SECONDS));
  const to = Math.min(jobs, at(window.to));
  let text = '{"jobs":[';
  for (let i = from; i < to; i += 1) {
    text += (i === from ? '' : ',') + accountingRow(1000 + i, first + Math.floor((i / jobs) * span));
    if (text.length > CHUNK_CHARS) {
      yield Buffer.from(text);
      text = '';
    }
  }
  yield Buffer.from(`${text}],"meta":{"slurm":{"cluster":"lab"}},"errors":[]}`);
}

async function main(): Promise<void> {
  const [jobs = 0, span = 0, end = 0] = process.argv.slice(2, 5).map(Number);
  const time = (flag: string): number => {
    const at = process.argv.indexOf(flag);
    return at < 0 ? end : Date.parse(`${process.argv[at + 1]}Z`) / 1000;
  };
  for (const part of accountingAnswer(jobs, span, end, { from: time('--starttime'), to: time('--endtime') }))
    if (!process.stdout.write(part)) await new Promise((resolve) => process.stdout.once('drain', resolve));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
