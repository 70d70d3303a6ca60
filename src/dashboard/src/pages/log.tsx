// What happens in all runs, as it happens.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { API, query } from "../api";
import { Badge, RunLink } from "../parts/basics";
import { short, time } from "../format";
import { useStream } from "../stream";
import type { RunEvent } from "../types";

const KEPT = 500;

interface Line extends RunEvent {
  run: string;
  workflow?: string;
}

export function Log(): JSX.Element {
  const [lines, setLines] = useState<Line[]>([]);
  const [stopped, setStopped] = useState(false);
  const [workflow, setWorkflow] = useState("");
  const path = stopped ? null : `${API}/events${query({ workflow })}`;
  const live = useStream(path, (data) => setLines((old) => [data as Line, ...old].slice(0, KEPT)));
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
      <div class="scroll" tabIndex={0} role="region" aria-label="table">
        <table class="history" aria-live="off">
          <tbody>
            {lines.map((each) => (
              <tr key={`${each.run} ${each.seq}`}>
                <td>{time(each.time)}</td>
                <td>
                  <RunLink id={each.run} />
                </td>
                <td>{each.workflow}</td>
                <td>{each.type}</td>
                <td>{each.node}</td>
                <td class="mono">{each.data ? short(each.data) : ""}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
