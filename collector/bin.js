#!/usr/bin/env node
// `gpuledger-agent`, on whatever Node is there.
import { launch } from '../api/contract/launch.js';

// 1 is an answer of the doctor and of --once.
await launch('gpuledger-agent', new URL('./cli/main.ts', import.meta.url), 2);
