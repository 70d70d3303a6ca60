// Runs that need somebody: failed ones, and those that are paused.

import type { JSX } from "preact";
import { part, post } from "../api";
import { Action, Ago, Badge, Empty, RunLink, Section, Trouble, useNotify } from "../parts/basics";
import { short } from "../format";
import { link, useLoaded } from "../hooks";
import type { Run, RunList } from "../types";

const SHOWN = 50;

export function Incidents(): JSX.Element {
  return (
    <>
      <h1>Incidents</h1>
      <Kind status="failed" title="Failed" action="retry" none="No run has failed." />
      <Kind status="paused" title="Paused, by somebody or because they cannot go on" action="resume" none="No run is paused." />
    </>
  );
}

function Kind(props: { status: string; title: string; action: "retry" | "resume"; none: string }): JSX.Element {
  const found = useLoaded<RunList>(`runs?status=${props.status}&limit=${SHOWN}`, 3_000);
  const notify = useNotify();
  const act = (run: Run) => async () => {
    await post(`runs/${part(run.id)}/${props.action}`);
    notify(`${props.action}: ${run.id}`);
    found.reload();
  };
  return (
    <Section title={props.title} aside={<a href={`${link("runs")}?status=${props.status}`}>all, with actions for many</a>}>
      <Trouble error={found.error} />
      {found.data?.runs.length === 0 && <Empty>{props.none}</Empty>}
      <div class="scroll" tabIndex={0} role="region" aria-label="table">
        <table>
          <tbody>
            {found.data?.runs.map((run) => (
              <tr key={run.id}>
                <td>
                  <Badge status={run.status} />
                </td>
                <td>
                  <a href={link("workflows", run.workflow)}>{run.workflow}</a>
                </td>
                <td>
                  <RunLink id={run.id}>{run.key ?? run.id}</RunLink>
                </td>
                <td class="error">
                  <Reason id={run.id} />
                </td>
                <td>
                  <Ago at={run.ended_at ?? run.started_at} />
                </td>
                <td>
                  <Action label={props.action} run={act(run)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

/** Lists come without errors and waits: each run is asked for what it says itself. */
function Reason({ id }: { id: string }): JSX.Element | null {
  const found = useLoaded<Run>(`runs/${part(id)}`).data;
  if (!found) return null;
  if (found.error) {
    return (
      <>
        {found.error.node && <b>{found.error.node}</b>} {found.error.type}: {short(found.error.message, 200)}
      </>
    );
  }
  return <>{found.waiting_for.map((each) => `${each.node} ${each.kind} ${each.detail}`.trim()).join("; ") || "paused"}</>;
}
