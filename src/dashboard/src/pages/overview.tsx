// How the server is doing: throughput, latencies, queues, shards, and what failed lately.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Alerts } from "../parts/alerts";
import { Ago, Badge, Empty, Fact, RunLink, Section, Trouble } from "../parts/basics";
import { count, micros } from "../format";
import { link, useLoaded } from "../hooks";
import type { RunList, Server } from "../types";

const SERIES = 120;
const GAUGES: [name: string, title: string][] = [
  ["runs_open", "open runs"],
  ["tasks_ready", "tasks ready"],
  ["tasks_running", "tasks running"],
  ["timers", "timers"],
  ["mail_unacknowledged", "mail on the way"],
];

function total(server: Server, kind: "counters" | "gauges", name: string): number {
  return server.shards.reduce((sum, shard) => sum + (shard[kind][name] ?? 0), 0);
}

/** How fast a counter grows, per second, between looks at the server; the latest last. */
function useRates(server: Server | null, name: string): number[] {
  const [rates, setRates] = useState<number[]>([]);
  const last = useRef<{ at: number; value: number } | null>(null);
  useEffect(() => {
    if (!server) return;
    const now = { at: performance.now(), value: total(server, "counters", name) };
    const before = last.current;
    last.current = now;
    if (!before) return;
    const rate = Math.max(0, ((now.value - before.value) * 1_000) / (now.at - before.at));
    setRates((old) => [...old, rate].slice(-SERIES));
  }, [server]);
  return rates;
}

export function Overview({ server }: { server: Server | null }): JSX.Element {
  const failed = useLoaded<RunList>("runs?status=failed&limit=200", 5_000);
  const rates = useRates(server, "tasks_done");
  const rate = rates.at(-1) ?? null;
  if (!server) return <p aria-busy="true">…</p>;
  const stages = Object.keys(server.shards[0]?.latencies ?? {});
  return (
    <>
      <h1>Overview</h1>
      <dl class="facts">
        <Fact name="tasks per second">
          {rate === null ? "…" : rate.toFixed(rate < 10 ? 1 : 0)} <Spark values={rates} />
        </Fact>
        {GAUGES.map(([name, title]) => (
          <Fact key={name} name={title}>
            {count(total(server, "gauges", name))}
          </Fact>
        ))}
        <Fact name="runs completed">{count(total(server, "counters", "runs_completed"))}</Fact>
        <Fact name="runs failed">
          <a href={link("incidents")}>{count(total(server, "counters", "runs_failed"))}</a>
        </Fact>
        <Fact name="workers">{server.workers.length}</Fact>
      </dl>
      <Alerts />
      <Section title="Latency" aside="recent, per shard: p50 / p99">
        <div class="scroll" tabIndex={0} role="region" aria-label="table">
          <table>
            <thead>
              <tr>
                <th>shard</th>
                {stages.map((stage) => (
                  <th key={stage} class="number">
                    {stage}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {server.shards.map((shard) => (
                <tr key={shard.index}>
                  <td>{shard.index}</td>
                  {stages.map((stage) => {
                    const found = shard.latencies[stage];
                    return (
                      <td key={stage} class="number">
                        {found?.count ? `${micros(found.p50_us)} / ${micros(found.p99_us)}` : "–"}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Section>
      <Section title="Shards" aside={`${server.partitions} partitions, durability ${server.durability}, wfe ${server.version}`}>
        <div class="scroll" tabIndex={0} role="region" aria-label="table">
          <table>
            <thead>
              <tr>
                <th>shard</th>
                <th>state</th>
                <th class="number">partitions</th>
                <th class="number">runs in memory</th>
                <th class="number">commits</th>
                <th class="number">events</th>
                <th class="number">restarts</th>
              </tr>
            </thead>
            <tbody>
              {server.shards.map((shard) => (
                <tr key={shard.index}>
                  <td>{shard.index}</td>
                  <td>
                    <Badge status={shard.state} />
                  </td>
                  <td class="number">{shard.partitions.length}</td>
                  <td class="number">{count(shard.gauges["runs_in_memory"])}</td>
                  <td class="number">{count(shard.counters["commits"])}</td>
                  <td class="number">{count(shard.counters["events"])}</td>
                  <td class="number">{shard.restarts}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Section>
      <Section title="Failures by workflow" aside={<a href={link("incidents")}>all incidents</a>}>
        <Trouble error={failed.error} />
        <Failures found={failed.data} />
      </Section>
    </>
  );
}

function Failures({ found }: { found: RunList | null }): JSX.Element {
  if (!found) return <p aria-busy="true">…</p>;
  if (found.runs.length === 0) return <Empty>No run has failed.</Empty>;
  const groups = new Map<string, RunList["runs"]>();
  for (const run of found.runs) groups.set(run.workflow, [...(groups.get(run.workflow) ?? []), run]);
  return (
    <ul class="plain">
      {[...groups].map(([workflow, runs]) => (
        <li key={workflow}>
          <a href={link("workflows", workflow)}>{workflow}</a>: {runs.length}
          {found.cursor ? " or more" : ""}, last <RunLink id={runs[0]!.id}>{runs[0]!.id}</RunLink> <Ago at={runs[0]!.ended_at} />
        </li>
      ))}
    </ul>
  );
}

function Spark({ values }: { values: number[] }): JSX.Element | null {
  if (values.length < 2) return null;
  const top = Math.max(...values, 1);
  const points = values.map((value, i) => `${(i / (SERIES - 1)) * 120},${22 - (value / top) * 20}`).join(" ");
  return (
    <svg class="spark" viewBox="0 0 120 24" aria-hidden="true">
      <polyline points={points} />
    </svg>
  );
}
