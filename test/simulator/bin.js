// `npm run demo`, on whatever Node is there.
import { launch } from '../../api/contract/launch.js';

await launch('demo', new URL('./demo.ts', import.meta.url));
