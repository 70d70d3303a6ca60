// The gateway's documents, as `src/wfe/gateway/documents.py` has them. Times are RFC 3339 or null.

export type Status = "pending" | "running" | "waiting" | "paused" | "completed" | "failed" | "cancelled";
export const STATUSES: Status[] = ["pending", "running", "waiting", "paused", "completed", "failed", "cancelled"];

export interface RunError {
  type: string;
  message: string;
  node: string;
  attempts: number;
  traceback: string;
}

export interface Wait {
  kind: string;
  node: string;
  detail: string;
  attempt: number;
  since: string | null;
  due: string | null;
}

/** A wait with what is behind it: `text` in words, `by` the runs that hold what it waits for. */
export interface Blocker extends Wait {
  reason: string;
  text: string;
  by: string[];
}

export interface Explanation {
  summary: string;
  waiting_for: Blocker[];
}

export interface Run {
  id: string;
  workflow: string;
  version: number;
  key: string | null;
  status: Status;
  input: unknown;
  output: unknown;
  error: RunError | null;
  waiting_for: Wait[];
  started_at: string | null;
  ended_at: string | null;
  tags: Record<string, string>;
  priority: number;
  parent: string | null;
  events: number;
  definition: string;
}

export interface RunList {
  runs: Run[];
  cursor: string | null;
  incomplete: number[];
}

export interface RunEvent {
  seq: number;
  time: string | null;
  type: string;
  node: string | null;
  activation: number;
  attempt: number;
  data: Record<string, unknown> | null;
}

export interface EventPage {
  events: RunEvent[];
  cursor: number;
  ended: boolean;
}

export interface LogLine {
  time: string | null;
  level: string;
  node: string;
  activation: number;
  attempt: number;
  logger: string;
  text: string;
  dropped: number;
  trace: string | null;
}

export interface LogLines {
  lines: LogLine[];
  cursor: number;
  ended: boolean;
}

export interface Alert {
  rule: string;
  when: string;
  severity: string;
  state: string;
  subject: string;
  summary: string;
  value: string;
  limit: string;
  since: string | null;
}

export interface AlertList {
  at: string | null;
  alerts: Alert[];
  receivers: { name: string; kind: string; sent: number; failed: number; dropped: number; waiting: number; error: string | null }[];
}

export interface NodePast {
  node: string | null;
  activation: number;
  state: string;
  detail: string;
  attempt: number;
  due: string | null;
  value: unknown;
}

export interface RunPast {
  id: string;
  event: number;
  time: string | null;
  status: string;
  round: number;
  input: unknown;
  nodes: NodePast[];
  signals: Record<string, number>;
  output: unknown;
  incident: string | null;
}

export interface BulkOutcome {
  action: string;
  dry_run: boolean;
  matched: number;
  runs: string[];
  failed: { id: string; code: string; detail: string }[];
  more: boolean;
}

export interface DefinitionSummary {
  workflow: string;
  version: number;
  hash: string;
  current: boolean;
  deployed_at: string | null;
  deprecated_at: string | null;
  note: string;
  tags: string[];
  triggers: string[];
}

export interface DefinitionDocument extends DefinitionSummary {
  description: string;
  definition: unknown;
  input_schema: Schema | null;
}

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  anyOf?: Schema[];
  default?: unknown;
  $ref?: string;
  $defs?: Record<string, Schema>;
  types?: Record<string, Schema>;
}

/** What is worked out of a definition; only what the pages show. */
export interface ProcessedGraph {
  critical_path: { duration_ms: number; nodes: string[] } | null;
  path_count: number | string;
  parallel_groups: unknown[];
  circles: string[][];
  runs: number;
}

export interface Difference {
  what: string;
  change: "added" | "removed" | "changed";
  where: string;
  old?: unknown;
  new?: unknown;
}

export interface Differences {
  same: boolean;
  differences: Difference[];
}

export interface Approval {
  run: string;
  workflow: string;
  key: string | null;
  node: string;
  name: string;
  to: unknown;
  due: string | null;
  escalations: number;
  form: Schema | null;
}

export interface Latency {
  count: number;
  p50_us: number;
  p99_us: number;
  max_us: number;
}

export interface Shard {
  index: number;
  state: string;
  pid: number;
  epoch: number;
  restarts: number;
  recovery_ms: number;
  partitions: number[];
  counters: Record<string, number>;
  gauges: Record<string, number>;
  latencies: Record<string, Latency>;
}

export interface Worker {
  id: string;
  local: boolean;
  pid: number;
  state: string;
  restarts: number;
}

export interface Server {
  server: string;
  state: string;
  version: string;
  address: string;
  data: string;
  durability: string;
  partitions: number;
  workflows: number;
  started_at: string | null;
  shards: Shard[];
  workers: Worker[];
}

export interface Problem {
  title: string;
  status: number;
  detail?: string;
  code?: string;
  errors?: { detail: string; pointer?: string; parameter?: string }[];
}
