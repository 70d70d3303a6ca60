// Asks for the server's token.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Failure, post } from "../api";

export function Login({ done }: { done: () => void }): JSX.Element {
  const [token, setToken] = useState("");
  const [trouble, setTrouble] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await post("session", { token: token.trim() });
      done();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      setTrouble(error.message);
    }
  };
  return (
    <main class="login">
      <h1>wfe</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label class="field">
          <span>
            The server's token <small>the file “token” in its data directory</small>
          </span>
          <input type="password" autocomplete="current-password" required value={token} onInput={(event) => setToken(event.currentTarget.value)} />
        </label>
        {trouble && (
          <p class="trouble" role="alert">
            {trouble}
          </p>
        )}
        <button class="primary">Log in</button>
      </form>
      <p>Or open the URL that the gateway printed when it started.</p>
    </main>
  );
}
