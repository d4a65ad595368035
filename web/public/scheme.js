// Sets the colour scheme before the first paint, so that a dark page never flashes white. Outside the bundle because a
// module would run too late, and in a file of its own because the content security policy allows no inline script.
(() => {
  let chosen = 'auto';
  try {
    chosen = localStorage.getItem('gpuledger-scheme') ?? 'auto';
  } catch {
    // Storage may be forbidden; the system's scheme is then right.
  }
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const scheme = chosen === 'dark' || chosen === 'light' ? chosen : system;
  document.documentElement.setAttribute('data-mantine-color-scheme', scheme);
})();
