// The processes that run tasks.

import type { JSX } from "preact";
import { Badge, Empty } from "../parts/basics";
import { count } from "../format";
import type { Server } from "../types";

export function Workers({ server }: { server: Server | null }): JSX.Element {
  if (!server) return <p aria-busy="true">…</p>;
  return (
    <>
      <h1>Workers</h1>
      {server.workers.length === 0 && <Empty>None: start one with `wfe worker --app APP --connect {server.address}`.</Empty>}
      <div class="scroll" tabIndex={0} role="region" aria-label="table">
        <table>
          <thead>
            <tr>
              <th>worker</th>
              <th>state</th>
              <th>where</th>
              <th class="number">process</th>
              <th class="number">restarts</th>
            </tr>
          </thead>
          <tbody>
            {server.workers.map((each) => (
              <tr key={each.id}>
                <td class="mono">{each.id}</td>
                <td>
                  <Badge status={each.state} />
                </td>
                <td>{each.local ? "of this server" : "remote"}</td>
                <td class="number">{each.pid || "–"}</td>
                <td class="number">{count(each.restarts)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
