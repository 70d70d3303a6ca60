// One workflow: its versions, its graph coloured by where time goes and what fails, and a form to start a run.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { API, get, part, post, query } from "../api";
import { Compare, Versions } from "../parts/versions";
import { Action, Badge, Dialog, Empty, RunLink, Section, Trouble } from "../parts/basics";
import { blank, Fields } from "../parts/form";
import { Graph, type Mark } from "../parts/graph";
import { between, span } from "../format";
import { attemptsOf, drawnName } from "../history";
import { link, useLoaded } from "../hooks";
import type { DefinitionDocument, EventPage, ProcessedGraph, Run, RunList, Schema } from "../types";

const SAMPLE = 30;
const NONE = new Map<string, Mark>();

export function WorkflowPage({ name, version }: { name: string; version: number }): JSX.Element {
  const found = useLoaded<DefinitionDocument>(`definitions/${part(name)}${query({ version: version || null })}`);
  const processed = useLoaded<ProcessedGraph>(`definitions/${part(name)}/processed${query({ version: version || null })}`);
  const runs = useLoaded<RunList>(`runs${query({ workflow: name, limit: SAMPLE })}`, 5_000);
  const [node, setNode] = useState<string | null>(null);
  const [starting, setStarting] = useState(false);
  const [against, setAgainst] = useState(0);
  const profile = useProfile(runs.data?.runs ?? [], found.data?.hash ?? "");
  if (!found.data) return found.error ? <Trouble error={found.error} /> : <p aria-busy="true">…</p>;
  const shown = found.data;
  const file = (format: string) => `${API}/definitions/${part(name)}/export?version=${shown.version}&format=${format}`;
  return (
    <>
      <h1>
        {shown.workflow} <small>version {shown.version}</small> {shown.current && <Badge status="current" />}{" "}
        {shown.deprecated_at && <Badge status="deprecated" />}
      </h1>
      {shown.description && <p>{shown.description}</p>}
      <div class="actions">
        <Action label="Start a run…" kind="primary" run={async () => setStarting(true)} />
        <a href={`${link("runs")}?workflow=${encodeURIComponent(name)}`}>its runs</a>
        <a href={file("yaml")}>YAML</a>
        <a href={file("json")}>JSON</a>
        <a href={file("svg")}>SVG</a>
      </div>
      <div class="columns">
        <Section title="Graph" aside={profile.runs ? `warm: where ${profile.runs} finished runs spent their time` : ""}>
          <Graph path={`definitions/${part(name)}/export?version=${shown.version}&format=svg`} marks={profile.marks} selected={node} select={setNode} />
        </Section>
        <div>
          <Section title="Bottlenecks" aside={profile.runs ? `of ${profile.runs} finished runs` : ""}>
            <Bottlenecks rows={profile.rows} selected={node} select={setNode} />
            {processed.data?.critical_path && (
              <p>
                Critical path, {span(processed.data.critical_path.duration_ms)}: {processed.data.critical_path.nodes.join(" → ")}
              </p>
            )}
            {processed.data && <p class="hint">{processed.data.path_count} ways through it</p>}
          </Section>
          <Versions name={name} shown={shown.version} compare={setAgainst} reload={found.reload} />
          <Section title="Latest runs">
            {runs.data?.runs.length === 0 && <Empty>None yet.</Empty>}
            <table>
              <tbody>
                {runs.data?.runs.slice(0, 10).map((run) => (
                  <tr key={run.id}>
                    <td>
                      <Badge status={run.status} />
                    </td>
                    <td>
                      <RunLink id={run.id} />
                    </td>
                    <td class="number">{between(run.started_at, run.ended_at)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Section>
        </div>
      </div>
      {starting && <Start definition={shown} close={() => setStarting(false)} />}
      {against > 0 && <Compare name={name} one={against} other={shown.version} close={() => setAgainst(0)} />}
    </>
  );
}

// ---- where time goes --------------------------------------------------------------------------------------------------

interface Row {
  node: string;
  mean_ms: number;
  share: number;
  failures: number;
  attempts: number;
}

interface Profile {
  runs: number;
  rows: Row[];
  marks: Map<string, Mark>;
}

/** How long each node took in the finished runs of this version among `runs`, and how often it failed. */
function useProfile(runs: Run[], hash: string): Profile {
  const ids = runs.filter((run) => run.ended_at && run.definition === hash).map((run) => run.id);
  const wanted = ids.join(" ");
  const [pages, setPages] = useState<EventPage[]>([]);
  useEffect(() => {
    let over = false;
    void Promise.all(ids.map((id) => get<EventPage>(`runs/${part(id)}/history?limit=2000`).catch(() => null))).then((found) => {
      if (!over) setPages(found.filter((each): each is EventPage => each !== null));
    });
    return () => {
      over = true;
    };
  }, [wanted]);
  return useMemo(() => profileOf(pages), [pages]);
}

function profileOf(pages: EventPage[]): Profile {
  const found = new Map<string, { ms: number; failures: number; attempts: number }>();
  let all = 0;
  for (const page of pages) {
    for (const each of attemptsOf(page.events)) {
      if (each.to === null || each.state === "skipped") continue;
      const row = found.get(drawnName(each.node)) ?? { ms: 0, failures: 0, attempts: 0 };
      row.ms += each.to - each.from;
      row.attempts += 1;
      if (each.state === "failed") row.failures += 1;
      found.set(drawnName(each.node), row);
      all += each.to - each.from;
    }
  }
  const rows = [...found].map(([node, row]) => ({
    node,
    mean_ms: row.ms / Math.max(1, row.attempts),
    share: all ? row.ms / all : 0,
    failures: row.failures,
    attempts: row.attempts,
  }));
  rows.sort((a, b) => b.share - a.share);
  const marks = new Map(
    rows.map((row): [string, Mark] => [row.node, { heat: row.share, state: row.failures ? "failed" : undefined, label: row.share >= 0.01 ? `${Math.round(row.share * 100)} %` : undefined }]),
  );
  return { runs: pages.length, rows, marks: rows.length ? marks : NONE };
}

function Bottlenecks({ rows, selected, select }: { rows: Row[]; selected: string | null; select: (node: string) => void }): JSX.Element {
  if (!rows.length) return <Empty>No finished run of this version yet.</Empty>;
  return (
    <table>
      <thead>
        <tr>
          <th>node</th>
          <th class="number">share</th>
          <th class="number">mean</th>
          <th class="number">failed</th>
        </tr>
      </thead>
      <tbody>
        {rows.slice(0, 12).map((row) => (
          <tr key={row.node} class={row.node === selected ? "selected" : ""}>
            <td>
              <button type="button" class="plain" onClick={() => select(row.node)}>
                {row.node}
              </button>
            </td>
            <td class="number">{Math.round(row.share * 100)} %</td>
            <td class="number">{span(row.mean_ms)}</td>
            <td class="number">
              {row.failures} of {row.attempts}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

// ---- start -----------------------------------------------------------------------------------------------------------

function Start({ definition, close }: { definition: DefinitionDocument; close: () => void }): JSX.Element {
  const schema = definition.input_schema;
  const root = definition.definition as Schema; // its `types` are what the schema refers to
  const [input, setInput] = useState<unknown>(() => blank(schema, root));
  const [key, setKey] = useState("");
  const asks = schema !== null && !(schema.properties && Object.keys(schema.properties).length === 0);
  const start = async () => {
    const run = await post<Run>("runs", { workflow: definition.workflow, version: definition.version, ...(asks ? { input } : {}), key });
    close();
    location.hash = link("runs", run.id);
  };
  return (
    <Dialog title={`Start ${definition.workflow}`} close={close}>
      {asks ? <Fields schema={schema} root={root} name="" path="input" value={input} change={setInput} /> : <p class="empty">It takes no input.</p>}
      <label class="field">
        <span>
          key <small>optional: (workflow, key) names one run</small>
        </span>
        <input type="text" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <Action label="Start" kind="primary" run={start} />
    </Dialog>
  );
}
