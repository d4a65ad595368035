/** The parts of a policy that are kept as one JSON text: exemptions, internal ranges, approved tunnels. */
import { z } from 'zod';

const Stretch = z.object({ fromMs: z.int(), toMs: z.int() });
const Texts = z.array(z.string());

const Exemption = z.object({
  ...{ id: z.string(), job: z.string(), owner: z.string(), account: z.string(), reason: z.string() },
  ...Stretch.shape,
  match: z.object({
    ...{ executables: Texts, boundaries: Texts, types: Texts, nodes: Texts },
    uids: z.array(z.int()),
    windows: z.array(Stretch),
    daily: z.array(Stretch),
  }),
});

const Tunnel = z.object({ peers: Texts, executables: Texts, uids: z.array(z.int()), reason: z.string() });

export const PolicyRest = z.object({
  exemptions: z.array(Exemption).default([]),
  internalRanges: Texts.default([]),
  approvedTunnels: z.array(Tunnel).default([]),
});
