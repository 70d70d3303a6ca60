// What happens in all runs, as it happens.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { API, query } from "../api";
import { Badge, RunLink } from "../parts/basics";
import { short, time } from "../format";
import { useStream } from "../stream";
import type { RunEvent } from "../types";

const KEPT = 500;

interface Line {
  run: string;
  workflow: string;
  event: RunEvent;
}

export function Log(): JSX.Element {
  const [lines, setLines] = useState<Line[]>([]);
  const [stopped, setStopped] = useState(false);
  const [workflow, setWorkflow] = useState("");
  const path = stopped ? null : `${API}/events${query({ workflow })}`;
  const [missed, setMissed] = useState(false);
  const take = (data: unknown, kind: string) =>
    kind === "missed" ? setMissed(true) : setLines((old) => [data as Line, ...old].slice(0, KEPT));
  const live = useStream(path, take, ["missed"]);
  return (
    <>
      <h1>
        Live log <Badge status={stopped ? "stopped" : live ? "live" : "connecting"} />
      </h1>
      <div class="filters">
        <label>
          workflow <input type="search" value={workflow} onChange={(event) => setWorkflow(event.currentTarget.value)} />
        </label>
        <button type="button" class="plain" onClick={() => setStopped(!stopped)}>
          {stopped ? "go on" : "stop"}
        </button>
        <button type="button" class="plain" onClick={() => setLines([])}>
          clear
        </button>
      </div>
      {missed && <p class="hint">Some events went by faster than they could be shown.</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label="table">
        <table class="history" aria-live="off">
          <tbody>
            {lines.map(({ run, workflow, event }) => (
              <tr key={`${run} ${event.seq}`}>
                <td>{time(event.time)}</td>
                <td>
                  <RunLink id={run} />
                </td>
                <td>{workflow}</td>
                <td>{event.type}</td>
                <td>{event.node}</td>
                <td class="mono">{event.data ? short(event.data) : ""}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
