// A JSON value, folded and copied. Values are text, always: nothing in a payload becomes markup.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { short } from "../format";
import { useNotify } from "./basics";

const OPEN_DEPTH = 2;
const SHOWN_MAX = 100;

export function Json({ value }: { value: unknown }): JSX.Element {
  const notify = useNotify();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(JSON.stringify(value, null, 2));
      notify("copied");
    } catch {
      notify("this browser does not let pages copy here", true);
    }
  };
  return (
    <div class="json" tabIndex={0} role="region" aria-label="value">
      <button type="button" class="plain copy" onClick={() => void copy()}>
        copy
      </button>
      <Value value={value} depth={0} />
    </div>
  );
}

function Value({ value, depth }: { value: unknown; depth: number }): JSX.Element {
  if (value === null || typeof value !== "object") {
    return <span class={`v-${value === null ? "null" : typeof value}`}>{typeof value === "string" ? JSON.stringify(value) : String(value)}</span>;
  }
  return <Folded value={value} depth={depth} />;
}

function Folded({ value, depth }: { value: object; depth: number }): JSX.Element {
  const [shown, setShown] = useState(SHOWN_MAX);
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  const [left, right] = list ? "[]" : "{}";
  if (entries.length === 0) return <span>{`${left}${right}`}</span>;
  return (
    <details open={depth < OPEN_DEPTH && entries.length <= SHOWN_MAX}>
      <summary>
        {left} <span class="peek">{short(value, 60)}</span> <small>{entries.length}</small>
      </summary>
      <ul>
        {entries.slice(0, shown).map(([name, each]) => (
          <li key={name}>
            <span class="name">{list ? name : JSON.stringify(name)}: </span>
            <Value value={each} depth={depth + 1} />
          </li>
        ))}
        {entries.length > shown && (
          <li>
            <button type="button" class="plain" onClick={() => setShown(shown + 10 * SHOWN_MAX)}>
              {entries.length - shown} more
            </button>
          </li>
        )}
      </ul>
      {right}
    </details>
  );
}
