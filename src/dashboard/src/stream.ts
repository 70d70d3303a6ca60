// Server-sent events: the browser reconnects by itself and says where it was.

import { useEffect, useState } from "preact/hooks";

/** Calls `take` for each message of `path`; null: no stream. The answer says whether the line stands. */
export function useStream(path: string | null, take: (data: unknown, kind: string) => void, kinds: string[] = []): boolean {
  const [live, setLive] = useState(false);
  useEffect(() => {
    if (path === null) return;
    const source = new EventSource(path);
    const read = (message: MessageEvent<string>) => take(JSON.parse(message.data), message.type);
    source.onopen = () => setLive(true);
    source.onerror = () => setLive(false);
    source.onmessage = read;
    for (const kind of kinds) source.addEventListener(kind, read);
    return () => source.close();
  }, [path]);
  return live;
}
