#!/usr/bin/env node
// `gpuledger`, on whatever Node is there.
import { launch } from './contract/launch.js';

await launch('gpuledger', new URL('./cli/main.ts', import.meta.url));
