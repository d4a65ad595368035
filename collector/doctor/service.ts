/** Can the service be reached, is it ours, and does it take this agent's token? */
import { z } from 'zod';
import { bytesToText } from '../text.ts';
import { type Check, found, type Patient } from './check.ts';

const Health = z.object({ status: z.literal('ok') });
const Session = z.object({
  name: z.string(),
  roles: z.array(z.string()),
  cluster: z.string(),
  node: z.string().nullable().optional(),
});
const Problem = z.object({ title: z.string().optional(), detail: z.string().optional() });
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
/** The Date header has whole seconds, and the answer took its time. */
const CLOCK_TOLERANCE_MS = 5000;
/** Batches that lie further ahead of the service's clock are refused. */
const CLOCK_LIMIT_MS = 600_000;
const OTHERS_READ = 0o077;
const MAX_SAID = 200;

const MAKE_TOKEN = 'Make one with: gpuledger token create --role agent --node NAME';

const said = (text: string): string => bytesToText(Buffer.from(text), MAX_SAID).text;

function parsed<T>(schema: z.ZodType<T>, text: string): T | null {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

const addressOf = (api: string, path: string): URL => new URL(path, api.endsWith('/') ? api : `${api}/`);

/** In words, what a status other than 200 means. */
function refusal(status: number, text: string): string {
  const problem = parsed(Problem, text);
  const words = problem?.detail ?? problem?.title ?? '';
  return words === '' ? `HTTP ${status}` : `HTTP ${status}, ${said(words)}`;
}

export async function checkService(patient: Patient): Promise<Check[]> {
  const { api } = patient.settings;
  if (api === null) {
    const why = 'It cannot be told without an address.';
    return [
      found('api', 'fail', 'No address of a service is set: nothing can be sent.', 'Give it with --api.'),
      found('service-clock', 'unknown', why, 'Give it with --api.'),
      await checkToken(patient, null),
    ];
  }
  const url = addressOf(api, 'healthz');
  const answer = await patient.probe.get(url, null);
  const noClock = found(
    'service-clock',
    'unknown',
    'Without an answer of the service its clock cannot be compared.',
    'Mend the connection first.',
  );
  if (!answer.ok)
    return [
      found(
        'api',
        'fail',
        `${url.origin} cannot be reached: ${said(answer.why)}.`,
        'Look whether the service runs, and whether name resolution and firewalls let this node through.',
      ),
      noClock,
      await checkToken(patient, null),
    ];
  if (answer.status !== 200 || parsed(Health, answer.text) === null)
    return [
      found(
        'api',
        'fail',
        answer.status === 200
          ? `${url.origin} answers, but not as gpuledger does.`
          : `${url.href} answers ${refusal(answer.status, answer.text)}.`,
        'Look whether --api names the service itself, and what stands between: a proxy, a redirect, another program.',
      ),
      noClock,
      await checkToken(patient, null),
    ];
  return [checkAddress(url), checkServiceClock(patient, answer.atMs), await checkToken(patient, api)];
}

function checkAddress(url: URL): Check {
  if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname))
    return found(
      'api',
      'warn',
      `${url.origin} answers, but over plain HTTP: who listens on the way reads the token and the batches.`,
      'Put TLS in front of the service, and give its https address.',
    );
  return found('api', 'ok', `${url.origin} answers and is gpuledger.`);
}

function checkServiceClock({ ports }: Patient, atMs: number | null): Check {
  if (atMs === null)
    return found(
      'service-clock',
      'unknown',
      'The service does not tell its time.',
      'Look what takes the Date header away.',
    );
  const aheadMs = ports.clock.wallMs() - atMs;
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  if (Math.abs(aheadMs) <= CLOCK_TOLERANCE_MS)
    return found('service-clock', 'ok', 'The clocks of this node and of the service agree.');
  const finding = `The clock of this node is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of the service`;
  const remedy = 'Keep both with an NTP client.';
  return aheadMs > CLOCK_LIMIT_MS
    ? found('service-clock', 'fail', `${finding}, which refuses batches from so far ahead.`, remedy)
    : found('service-clock', 'warn', `${finding}: what is seen here is booked at the wrong time.`, remedy);
}

/** `api`: null where the service cannot be asked. */
async function checkToken(patient: Patient, api: string | null): Promise<Check> {
  const { settings, probe } = patient;
  let token: string;
  try {
    token = patient.token();
  } catch (error) {
    // The rest of the message is the remedy.
    const [why = ''] = (error instanceof Error ? error.message : String(error)).split('. ', 1);
    return found('token', 'fail', `No token can be used: ${said(why)}.`, MAKE_TOKEN);
  }
  const { tokenFile } = settings;
  if (tokenFile !== null && othersRead(patient, tokenFile))
    return found(
      'token',
      'warn',
      `Other accounts of this node may read the token in ${tokenFile}, and so report in its name.`,
      `chmod 600 ${tokenFile}`,
    );
  if (api === null)
    return found(
      'token',
      'unknown',
      'There is a token; whether it is taken cannot be asked.',
      'Mend the connection first.',
    );
  const answer = await probe.get(addressOf(api, 'v1/session'), token);
  if (!answer.ok)
    return found('token', 'unknown', `The service did not answer: ${said(answer.why)}.`, 'Try again.');
  if (answer.status === 401)
    return found(
      'token',
      'fail',
      'The service does not know this token, or it was revoked or has expired.',
      MAKE_TOKEN,
    );
  const session = answer.status === 200 ? parsed(Session, answer.text) : null;
  if (session === null)
    return found(
      'token',
      'fail',
      `Asked who this token is, the service answers ${refusal(answer.status, answer.text)}.`,
      'Look whether --api names the service itself.',
    );
  return judgeSession(patient, session);
}

function othersRead({ probe }: Patient, tokenFile: string): boolean {
  try {
    return (probe.mode(tokenFile) & OTHERS_READ) !== 0;
  } catch {
    return false;
  }
}

function judgeSession({ settings }: Patient, session: z.infer<typeof Session>): Check {
  const { cluster, node } = settings.agent;
  const who = `The token "${said(session.name)}"`;
  if (!session.roles.includes('agent'))
    return found(
      'token',
      'fail',
      `${who} has the role ${said(session.roles.join(', '))}: only an agent's may send batches.`,
      MAKE_TOKEN,
    );
  if (session.cluster !== cluster)
    return found(
      'token',
      'fail',
      `The service keeps the cluster "${said(session.cluster)}", and this agent is set to "${cluster}".`,
      `Give --cluster ${said(session.cluster)}, or the address of the other service.`,
    );
  if (session.node != null && session.node !== node)
    return found(
      'token',
      'fail',
      `${who} writes for the node "${said(session.node)}", and this agent is set to "${node}".`,
      `Give --node ${said(session.node)}, or a token for ${node}.`,
    );
  return found('token', 'ok', `${who} is taken: it may write for ${cluster}/${session.node ?? node}.`);
}
