// Attempts over time: a bar each, waits for a retry hatched, the present open at the right.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { span } from "../format";
import type { Attempt } from "../history";

const ROW = 22;
const LEFT = 190;
const WIDTH = 900;
const ROWS_MAX = 200;

export function Timeline(props: {
  attempts: Attempt[];
  until: number;
  selected: string | null;
  select: (node: string) => void;
}): JSX.Element {
  const [rows, setRows] = useState(ROWS_MAX);
  const shown = props.attempts.slice(0, rows);
  if (shown.length === 0) return <p class="empty">No node has begun yet.</p>;
  const from = Math.min(...shown.map((each) => each.from));
  const to = Math.max(props.until, ...shown.map((each) => each.to ?? 0), from + 1);
  const x = (at: number) => LEFT + ((at - from) / (to - from)) * (WIDTH - LEFT - 10);
  const height = shown.length * ROW + 24;
  return (
    <div class="timeline" tabIndex={0} role="region" aria-label="timeline">
      <svg viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label="Timeline of attempts">
        {[0, 0.25, 0.5, 0.75, 1].map((share) => (
          <g key={share}>
            <line class="grid" x1={x(from + share * (to - from))} x2={x(from + share * (to - from))} y1={18} y2={height} />
            <text class="tick" x={x(from + share * (to - from))} y={12} text-anchor={share === 1 ? "end" : "middle"}>
              {span(share * (to - from))}
            </text>
          </g>
        ))}
        {shown.map((each, row) => {
          const end = each.to ?? to;
          const words = `${each.node} attempt ${each.attempt}: ${each.state}, ${span(end - each.from)} ${each.detail}`;
          return (
            <g key={row} class={`bar n-${each.state}${each.node === props.selected ? " selected" : ""}`} onClick={() => props.select(each.node)}>
              <title>{words}</title>
              <text x={LEFT - 8} y={row * ROW + 34} text-anchor="end">
                {each.node.length > 26 ? `${each.node.slice(0, 25)}…` : each.node}
                {each.attempt > 1 ? ` ·${each.attempt}` : ""}
              </text>
              <rect x={x(each.from)} y={row * ROW + 22} width={Math.max(2, x(end) - x(each.from))} height={ROW - 6} rx={3} />
            </g>
          );
        })}
      </svg>
      {props.attempts.length > rows && (
        <button type="button" class="plain" onClick={() => setRows(rows + 5 * ROWS_MAX)}>
          {props.attempts.length - rows} more
        </button>
      )}
    </div>
  );
}
