// All runs: filters, pages behind a cursor, and the same for many at once.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, post, query } from "../api";
import { Action, Ago, Badge, Dialog, Empty, RunLink, Trouble, useNotify } from "../parts/basics";
import { between } from "../format";
import { link, useLoaded } from "../hooks";
import { type BulkOutcome, type DefinitionSummary, type Run, type RunList, STATUSES } from "../types";

const PAGE = 100;
const REFRESH_MS = 3_000;
const OLDER_MAX = 1_000;

export function Runs({ values }: { values: URLSearchParams }): JSX.Element {
  const filter = {
    status: values.get("status"),
    workflow: values.get("workflow"),
    key: values.get("key"),
    tag: values.get("tag"),
  };
  const asked = query({ ...filter, limit: PAGE });
  const first = useLoaded<RunList>(`runs${asked}`, REFRESH_MS);
  const [more, setMore] = useState<{ asked: string; runs: Run[]; cursor: string | null }>({ asked, runs: [], cursor: null });
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  useEffect(() => {
    setMore({ asked, runs: [], cursor: null });
    setChosen(new Set());
  }, [asked]);
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(values);
    if (value) next.set(name, value);
    else next.delete(name);
    location.hash = `${link("runs")}?${next.toString()}`;
  };
  const older = more.asked === asked ? more.runs : [];
  const seen = new Set((first.data?.runs ?? []).map((run) => run.id));
  const runs = [...(first.data?.runs ?? []), ...older.filter((run) => !seen.has(run.id))];
  const cursor = older.length ? more.cursor : first.data?.cursor;
  const load = async () => {
    const page = await get<RunList>(`runs${query({ ...filter, limit: PAGE, cursor })}`);
    setMore({ asked, runs: [...older, ...page.runs].slice(-OLDER_MAX), cursor: page.cursor });
  };
  const choose = (id: string, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    setChosen(next);
  };
  return (
    <>
      <h1>Runs</h1>
      <Filters filter={filter} set={set} />
      <Trouble error={first.error} />
      {first.data && first.data.incomplete.length > 0 && (
        <p class="trouble">Partitions {first.data.incomplete.join(", ")} did not answer: the list is not complete.</p>
      )}
      <Bulk chosen={[...chosen]} filter={filter} done={() => (setChosen(new Set()), first.reload())} />
      {runs.length === 0 && first.data ? (
        <Empty>No run matches.</Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="table">
          <table class="runs">
            <thead>
              <tr>
                <th>
                  <input
                    type="checkbox"
                    aria-label="choose all shown"
                    checked={runs.length > 0 && chosen.size === runs.length}
                    onChange={(event) => setChosen(new Set(event.currentTarget.checked ? runs.map((run) => run.id) : []))}
                  />
                </th>
                <th>status</th>
                <th>workflow</th>
                <th>run</th>
                <th>key</th>
                <th>started</th>
                <th class="number">took</th>
                <th>tags</th>
              </tr>
            </thead>
            <tbody>
              {runs.map((run) => (
                <tr key={run.id}>
                  <td>
                    <input
                      type="checkbox"
                      aria-label={`choose ${run.id}`}
                      checked={chosen.has(run.id)}
                      onChange={(event) => choose(run.id, event.currentTarget.checked)}
                    />
                  </td>
                  <td>
                    <Badge status={run.status} />
                  </td>
                  <td>
                    <a href={link("workflows", run.workflow)}>{run.workflow}</a> <small>v{run.version}</small>
                  </td>
                  <td>
                    <RunLink id={run.id} />
                  </td>
                  <td>{run.key ?? ""}</td>
                  <td>
                    <Ago at={run.started_at} />
                  </td>
                  <td class="number">{between(run.started_at, run.ended_at)}</td>
                  <td>
                    {Object.entries(run.tags)
                      .map(([name, value]) => `${name}=${value}`)
                      .join(" ")}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {cursor && <Action label="More" run={load} />}
      {older.length >= OLDER_MAX && <p class="hint">Of older runs the last {OLDER_MAX} are shown: filters find others.</p>}
    </>
  );
}

type Filter = Record<"status" | "workflow" | "key" | "tag", string | null>;

function Filters({ filter, set }: { filter: Filter; set: (name: string, value: string) => void }): JSX.Element {
  const workflows = useLoaded<{ definitions: DefinitionSummary[] }>("definitions");
  return (
    <div class="filters">
      <label>
        status{" "}
        <select value={filter.status ?? ""} onChange={(event) => set("status", event.currentTarget.value)}>
          <option value="">any</option>
          {STATUSES.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label>
        workflow{" "}
        <select value={filter.workflow ?? ""} onChange={(event) => set("workflow", event.currentTarget.value)}>
          <option value="">any</option>
          {workflows.data?.definitions.map((each) => <option key={each.workflow}>{each.workflow}</option>)}
        </select>
      </label>
      <label>
        key <input type="search" value={filter.key ?? ""} onChange={(event) => set("key", event.currentTarget.value)} />
      </label>
      <label>
        tag{" "}
        <input type="search" placeholder="name=value" value={filter.tag ?? ""} onChange={(event) => set("tag", event.currentTarget.value)} />
      </label>
    </div>
  );
}

const ACTIONS = ["cancel", "pause", "resume", "retry"] as const;
const UNDO: Record<string, (typeof ACTIONS)[number]> = { pause: "resume", resume: "pause" };

/** The same for the chosen runs, or for all that match: first it says which, then it does it. */
function Bulk({ chosen, filter, done }: { chosen: string[]; filter: Filter; done: () => void }): JSX.Element | null {
  const [plan, setPlan] = useState<BulkOutcome | null>(null);
  const [undo, setUndo] = useState<BulkOutcome | null>(null);
  const notify = useNotify();
  const filtered = Boolean(filter.status || filter.workflow || filter.key || filter.tag);
  const body = (action: string, dry: boolean, ids: string[]) => {
    const { status, workflow, key, tag } = filter;
    const equals = tag?.indexOf("=") ?? -1; // without one it matches nothing: never more than the list shows
    const tags = tag ? { [equals < 0 ? tag : tag.slice(0, equals)]: equals < 0 ? "" : tag.slice(equals + 1) } : {};
    const wanted = ids.length ? { ids } : { status, workflow, key, tags };
    return { action, dry_run: dry, filter: wanted };
  };
  const look = async (action: string) => setPlan(await post<BulkOutcome>("runs/bulk", body(action, true, chosen)));
  const act = async (outcome: BulkOutcome, action: string) => {
    const found = await post<BulkOutcome>("runs/bulk", body(action, false, outcome.runs));
    notify(`${action}: ${found.runs.length} of ${found.matched} runs${found.failed[0] ? `; ${found.failed[0].detail}` : ""}`, found.failed.length > 0);
    setPlan(null);
    setUndo(UNDO[action] ? found : null);
    done();
  };
  if (!chosen.length && !filtered && !undo) return <p class="hint">Choose runs, or filter them, to do something to many at once.</p>;
  return (
    <div class="bulk">
      {(chosen.length > 0 || filtered) && (
        <>
          <span>{chosen.length ? `${chosen.length} chosen:` : "all that match:"}</span>
          {ACTIONS.map((each) => (
            <Action key={each} label={`${each}…`} run={() => look(each)} />
          ))}
        </>
      )}
      {undo && <Action label={`undo: ${UNDO[undo.action]} ${undo.runs.length}`} run={() => act(undo, UNDO[undo.action]!)} />}
      {plan && (
        <Dialog title={`${plan.action} ${plan.matched} runs?`} close={() => setPlan(null)}>
          <p>
            {plan.matched} runs match{plan.more ? ", and more behind them that this will not reach" : ""}.
            {UNDO[plan.action] ? ` It can be undone by “${UNDO[plan.action]}”.` : " It cannot be undone."}
          </p>
          <ul class="plain chosen">
            {plan.runs.slice(0, 20).map((id) => (
              <li key={id} class="mono">
                {id}
              </li>
            ))}
            {plan.runs.length > 20 && <li>and {plan.runs.length - 20} more</li>}
          </ul>
          <Action label={`${plan.action} them`} kind="danger" disabled={!plan.matched} run={() => act(plan, plan.action)} />
        </Dialog>
      )}
    </div>
  );
}

