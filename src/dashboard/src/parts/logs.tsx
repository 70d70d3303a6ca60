// What a run's tasks print and log: the newest lines, and those that come while one looks. Text, never markup.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { API, Failure, get, part, query } from "../api";
import { Badge, Empty, Section, Trouble } from "./basics";
import { time } from "../format";
import type { LogLine, LogLines } from "../types";

const LOOK_MS = 1_000;
const TAIL = 500;
const KEPT = 2_000;

interface Read {
  lines: LogLine[];
  error: Failure | null;
  loaded: boolean;
}

/** The lines of a run, or of one of its nodes. Once the run has ended it looks a last time: some lines come late. */
function useLines(id: string, node: string, ended: boolean): Read {
  const [read, setRead] = useState<Read>({ lines: [], error: null, loaded: false });
  const cursor = useRef(0);
  useEffect(() => {
    cursor.current = 0;
    setRead({ lines: [], error: null, loaded: false });
  }, [id, node]);
  useEffect(() => {
    let over = false;
    let timer: number | undefined;
    let last = ended;
    const look = async () => {
      if (!document.hidden) {
        const tail = cursor.current ? undefined : TAIL;
        try {
          const page = await get<LogLines>(`runs/${part(id)}/logs${query({ node, tail, after: cursor.current })}`);
          if (over) return;
          cursor.current = page.cursor;
          setRead((old) => ({ lines: [...old.lines, ...page.lines].slice(-KEPT), error: null, loaded: true }));
          if (page.ended && last) return;
          last = page.ended;
        } catch (error) {
          if (over || !(error instanceof Failure)) return;
          setRead((old) => ({ ...old, error }));
        }
      }
      timer = window.setTimeout(() => void look(), LOOK_MS);
    };
    void look();
    return () => {
      over = true;
      window.clearTimeout(timer);
    };
  }, [id, node, ended]);
  return read;
}

export function Logs(props: { id: string; ended: boolean; nodes: string[] }): JSX.Element {
  const [node, setNode] = useState("");
  const [follow, setFollow] = useState(true);
  const { lines, error, loaded } = useLines(props.id, node, props.ended);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, follow]);
  return (
    <Section title="Logs" aside={<a href={`${API}/runs/${part(props.id)}/logs${query({ node, tail: 10_000 })}`}>JSON</a>}>
      <div class="filters">
        <label>
          node{" "}
          <select value={node} onChange={(event) => setNode(event.currentTarget.value)}>
            <option value="">any</option>
            {props.nodes.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} /> follow
        </label>
      </div>
      <Trouble error={error} />
      {loaded && lines.length === 0 && <Empty>{props.ended ? "Its tasks said nothing." : "Its tasks have said nothing yet."}</Empty>}
      {lines.length > 0 && (
        <div class="scroll lines" ref={box} tabIndex={0} role="log" aria-live="off" aria-label="log of the run's tasks">
          {lines.map((line, index) => (
            <Line key={index} line={line} />
          ))}
        </div>
      )}
    </Section>
  );
}

function Line({ line }: { line: LogLine }): JSX.Element {
  return (
    <>
      {line.dropped > 0 && <p class="gap">… {line.dropped.toLocaleString("en")} lines are gone</p>}
      <p>
        <time>{time(line.time)}</time>
        <b>
          {line.node}
          {line.activation > 0 && `#${line.activation}`}
          {line.attempt > 1 && <small> attempt {line.attempt}</small>}
        </b>
        {line.level !== "info" && <Badge status={line.level} />}
        <span>{line.text}</span>
      </p>
    </>
  );
}
