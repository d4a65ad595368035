#!/usr/bin/env node
// `gpuledger-agent`, on whatever Node is there.
import { launch } from '../api/contract/launch.js';

await launch('gpuledger-agent', new URL('./cli/main.ts', import.meta.url));
