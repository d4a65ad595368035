/** Shown instead of any page to a browser that is not signed in. */
import { Button } from '@mantine/core';
import { useEffect } from 'react';

export function SignInPage() {
  useEffect(() => {
    document.title = 'Sign in · gpuledger';
  }, []);
  return (
    <main className="sign-in">
      <h1>gpuledger</h1>
      <h2>Open the sign-in link</h2>
      <p>
        The service printed a one-time link when it started. Open it in this browser; it sets a cookie and
        brings you back here.
      </p>
      <p>The link is used up or gone? On the machine where the service runs, print a new one:</p>
      <pre className="command">npx gpuledger sign-in --data ./data</pre>
      <Button variant="default" onClick={() => location.reload()}>
        I have opened it
      </Button>
    </main>
  );
}
