/** The agent's token: from its file, else from the environment. */
import type { AgentSettings } from '../config.ts';
import { files } from '../ports/real.ts';
import { ShipError } from '../ports.ts';

const MAX_FILE_BYTES = 4096;

/** Read again at each call, so that a token can be replaced while the agent runs. The result throws `ShipError`. */
export function tokenReader({ tokenFile }: AgentSettings): () => string {
  return () => {
    let token = process.env['GPULEDGER_TOKEN'] ?? '';
    if (tokenFile !== null) {
      try {
        token = files.read(tokenFile, MAX_FILE_BYTES).bytes.toString('utf8');
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new ShipError(`the token cannot be read (--token-file): ${why}`, true);
      }
    }
    token = token.trim();
    if (!/^[\x21-\x7e]{1,512}$/.test(token))
      throw new ShipError(
        'there is no token: give --token-file, or set GPULEDGER_TOKEN. ' +
          'Make one with: gpuledger token create --role agent --node NAME',
        true,
      );
    return token;
  };
}
