// One run: its graph with live states, its timeline, its values, its history to rewind, and what can be done to it.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { API, get, part } from "../api";
import { Actions } from "../parts/actions";
import { Ago, Badge, Fact, RunLink, Section, Trouble } from "../parts/basics";
import { Graph, type Mark } from "../parts/graph";
import { Json } from "../parts/json";
import { Logs } from "../parts/logs";
import { Timeline } from "../parts/timeline";
import { between, moment, relative, short, time } from "../format";
import { attemptsOf, drawnName, ENDED, statesOf } from "../history";
import { link, useLoaded } from "../hooks";
import type { EventPage, Explanation, Run, RunEvent, RunPast } from "../types";

const LOOK_MS = 1_000;
const WHY_MS = 3_000;
const PAGE = 1_000;
const EVENTS_MAX = 20_000;
const ROWS = 200;
const NODES_MAX = 200;

/** The run's events, and those that come while one looks. */
function useHistory(id: string, ended: boolean): { events: RunEvent[]; more: boolean } {
  const [events, setEvents] = useState<RunEvent[]>([]);
  const cursor = useRef(0);
  const [more, setMore] = useState(false);
  useEffect(() => {
    let over = false;
    let timer: number | undefined;
    const look = async () => {
      let again = true;
      while (again && !over && cursor.current < EVENTS_MAX) {
        const page = await get<EventPage>(`runs/${part(id)}/history?after=${cursor.current}&limit=${PAGE}`).catch(() => null);
        if (!page || over) break;
        cursor.current = Math.max(cursor.current, page.cursor, ...page.events.map((each) => each.seq));
        if (page.events.length) setEvents((old) => [...old, ...page.events.filter((each) => each.seq > (old.at(-1)?.seq ?? 0))]);
        again = page.events.length === PAGE;
      }
      setMore(cursor.current >= EVENTS_MAX);
      if (!over && !ended) timer = window.setTimeout(() => void look(), LOOK_MS);
    };
    void look();
    return () => {
      over = true;
      window.clearTimeout(timer);
    };
  }, [id, ended]);
  return { events, more };
}

export function RunPage({ id }: { id: string }): JSX.Element {
  const run = useLoaded<Run>(`runs/${part(id)}`, LOOK_MS);
  const ended = run.data !== null && ENDED.has(run.data.status);
  const { events, more } = useHistory(id, ended);
  const [at, setAt] = useState<number | null>(null);
  const [node, setNode] = useState<string | null>(null);
  const last = events.at(-1)?.seq ?? 0;
  const upto = at ?? last;
  const past = useLoaded<RunPast>(at === null ? null : `runs/${part(id)}/state?event=${at}`);
  const attempts = useMemo(() => attemptsOf(events, upto), [events, upto]);
  const marks = useMemo(() => {
    const found = new Map<string, Mark>();
    for (const [name, each] of statesOf(attempts)) {
      found.set(name, { state: each.state, label: each.all > 1 ? `${each.done}/${each.all}` : undefined });
    }
    return found;
  }, [attempts]);
  const nodes = useMemo(() => [...new Set(attempts.map((each) => each.node))].slice(0, NODES_MAX).sort(), [attempts]);
  if (run.error && !run.data) return <Trouble error={run.error} />;
  if (!run.data) return <p aria-busy="true">…</p>;
  const shown = run.data;
  const until = at !== null || ended ? Math.max(...events.filter((each) => each.seq <= upto).map((each) => (each.time ? Date.parse(each.time) : 0)), 0) : Date.now();
  return (
    <>
      <h1>
        <a href={link("workflows", shown.workflow)}>{shown.workflow}</a> <small class="mono">{shown.id}</small> <Badge status={shown.status} />
      </h1>
      <Actions run={shown} node={node} at={at} reload={run.reload} />
      <dl class="facts">
        <Fact name="version">{shown.version}</Fact>
        {shown.key && <Fact name="key">{shown.key}</Fact>}
        <Fact name="started">
          <Ago at={shown.started_at} />
        </Fact>
        <Fact name={ended ? "took" : "for"}>{between(shown.started_at, shown.ended_at)}</Fact>
        <Fact name="events">{shown.events}</Fact>
        {shown.parent && (
          <Fact name="called by">
            <RunLink id={shown.parent} />
          </Fact>
        )}
        {Object.entries(shown.tags).map(([name, value]) => (
          <Fact key={name} name={name}>
            {value}
          </Fact>
        ))}
      </dl>
      {shown.error && (
        <Section title="Why it failed">
          <p class="trouble">
            {shown.error.type}: {shown.error.message} <small>at {shown.error.node || "the run"}, attempts {shown.error.attempts}</small>
          </p>
          {shown.error.traceback && <pre tabIndex={0}>{shown.error.traceback}</pre>}
        </Section>
      )}
      {!ended && <Waits id={id} />}
      <Rewind events={events} at={at} last={last} set={setAt} more={more} />
      <div class="columns">
        <Section title={at === null ? "Graph" : `Graph as of event ${at}`}>
          <Graph path={`runs/${part(id)}/graph?format=svg`} marks={marks} selected={node} select={setNode} />
        </Section>
        <div>
          {node && <NodeCard node={node} events={events} upto={upto} close={() => setNode(null)} />}
          <Section title="Input">
            <Json value={shown.input} />
          </Section>
          {at === null
            ? ended && (
                <Section title="Output">
                  <Json value={shown.output} />
                </Section>
              )
            : past.data && <PastCard past={past.data} />}
          <Trouble error={past.error} />
        </div>
      </div>
      <Section title="Timeline">
        <Timeline attempts={attempts} until={until} selected={node} select={(name) => setNode(drawnName(name))} />
      </Section>
      <Logs id={id} ended={ended} nodes={nodes} />
      <Section title="History" aside={<a href={`${API}/runs/${part(id)}/history?limit=10000`}>JSON</a>}>
        <History events={events} at={upto} set={setAt} />
      </Section>
    </>
  );
}

function Waits({ id }: { id: string }): JSX.Element {
  const found = useLoaded<Explanation>(`runs/${part(id)}/why`, WHY_MS);
  return (
    <Section title="Why is it not moving?" aside="what it waits for now">
      <Trouble error={found.error} />
      {found.data && <p>{found.data.summary}</p>}
      <ul class="plain">
        {found.data?.waiting_for.map((each, index) => (
          <li key={index}>
            <Badge status={each.kind} /> <b>{each.node}</b> {each.text}
            {each.kind === "run" && (
              <>
                {" "}
                <RunLink id={each.detail} />
              </>
            )}
            {each.by.map((run) => (
              <span key={run}>
                {" "}
                <RunLink id={run} />
              </span>
            ))}
            {each.due && <small> {relative(each.due)}</small>}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Rewind(props: { events: RunEvent[]; at: number | null; last: number; set: (at: number | null) => void; more: boolean }): JSX.Element | null {
  const { at, last, set } = props;
  if (last < 1) return null;
  const event = props.events.find((each) => each.seq === (at ?? last));
  return (
    <div class="rewind">
      <label>
        Rewind
        <input
          type="range"
          min={1}
          max={last}
          value={at ?? last}
          aria-valuetext={event ? `event ${event.seq}: ${event.type}` : undefined}
          onInput={(input) => set(Number(input.currentTarget.value) >= last ? null : Number(input.currentTarget.value))}
        />
      </label>
      <span class="mono">
        {at === null ? "now" : `event ${at}`} {event && `${event.type} ${event.node ?? ""} ${time(event.time)}`}
      </span>
      {at !== null && (
        <button type="button" class="plain" onClick={() => set(null)}>
          back to now
        </button>
      )}
      {props.more && <small>only the first {EVENTS_MAX.toLocaleString("en")} events are shown</small>}
    </div>
  );
}

function PastCard({ past }: { past: RunPast }): JSX.Element {
  return (
    <Section title={`State as of event ${past.event}`} aside={moment(past.time)}>
      {past.incident && <p class="trouble">{past.incident}</p>}
      <table>
        <tbody>
          {past.nodes.map((each) => (
            <tr key={`${each.node}#${each.activation}`}>
              <td>{each.node}</td>
              <td>
                <Badge status={each.state} />
              </td>
              <td>
                {each.detail} {each.value !== null && <code>{short(each.value)}</code>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function NodeCard(props: { node: string; events: RunEvent[]; upto: number; close: () => void }): JSX.Element {
  const mine = props.events.filter((each) => each.seq <= props.upto && each.node !== null && drawnName(each.node) === props.node);
  const value = mine.findLast((each) => each.data !== null && "value" in each.data)?.data?.["value"];
  const failed = mine.findLast((each) => each.type === "TaskFailed")?.data?.["error"];
  return (
    <Section
      title={`Node ${props.node}`}
      aside={
        <button type="button" class="plain" onClick={props.close}>
          close
        </button>
      }
    >
      <p>
        {mine.length} events{mine[0] && `, from ${time(mine[0].time)} to ${time(mine.at(-1)!.time)}`}
      </p>
      {value !== undefined && <Json value={value} />}
      {failed !== undefined && <Json value={failed} />}
    </Section>
  );
}

function History({ events, at, set }: { events: RunEvent[]; at: number; set: (at: number) => void }): JSX.Element {
  const [rows, setRows] = useState(ROWS);
  const hidden = Math.max(0, events.length - rows);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="table">
      {hidden > 0 && (
        <button type="button" class="plain" onClick={() => setRows(rows + 5 * ROWS)}>
          {hidden} earlier events
        </button>
      )}
      <table class="history">
        <thead>
          <tr>
            <th class="number">#</th>
            <th>time</th>
            <th>event</th>
            <th>node</th>
            <th>data</th>
          </tr>
        </thead>
        <tbody>
          {events.slice(hidden).map((each) => (
            <tr key={each.seq} class={each.seq > at ? "future" : ""}>
              <td class="number">
                <button type="button" class="plain" title="rewind to here" onClick={() => set(each.seq)}>
                  {each.seq}
                </button>
              </td>
              <td>{time(each.time)}</td>
              <td>{each.type}</td>
              <td>
                {each.node} {each.attempt > 1 && <small>attempt {each.attempt}</small>}
              </td>
              <td>
                {each.data && Object.keys(each.data).length > 0 && (
                  <details>
                    <summary class="mono">{short(each.data)}</summary>
                    <Json value={each.data} />
                  </details>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
