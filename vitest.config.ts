import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    globalSetup: './test/temporary-folder.ts',
    reporters: ['default', './test/reporter.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    // `npm run coverage`: every line and branch of what decides, by the tests of the domain alone.
    coverage: {
      provider: 'v8',
      include: ['api/domain/**/*.ts'],
      reporter: ['text'],
      reportsDirectory: './node_modules/.coverage',
      thresholds: { lines: 100, branches: 100 },
    },
  },
});
