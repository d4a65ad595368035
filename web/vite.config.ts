import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { stories } from './stories/serve.ts';

const SERVICE = 'http://127.0.0.1:8470';
const SERVED = ['/v1', '/openapi.json', '/docs', '/healthz', '/readyz', '/metrics', '/sign-in'];

/** `vite web` works against a running service; `vite web --mode stories` against canned answers. */
export default defineConfig(({ mode }) => ({
  root: import.meta.dirname,
  plugins: [react(), ...(mode === 'stories' ? [stories()] : [])],
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2023', sourcemap: false },
  server: {
    host: '127.0.0.1',
    port: 8471,
    proxy: mode === 'stories' ? {} : Object.fromEntries(SERVED.map((path) => [path, SERVICE])),
  },
}));
