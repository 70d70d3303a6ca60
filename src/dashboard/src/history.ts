// What a run's events say about its nodes: which state each had after an event, and when its attempts began and ended.

import type { RunEvent } from "./types";

export type NodeState = "open" | "retry" | "done" | "failed" | "skipped" | "cancelled";

export interface Attempt {
  node: string;
  activation: number;
  attempt: number;
  from: number;
  to: number | null;
  state: NodeState;
  detail: string;
}

/** The statuses of a run that nothing more happens to. */
export const ENDED = new Set<string>(["completed", "failed", "cancelled"]);

const OPENS = new Set([
  "TaskOpenedWith", "SleepOpened", "SignalAwaited", "ChildOpened", "MapOpened", "BlockOpened", "LoopOpened", "RaceOpened",
  "ApprovalAsked", "LockAsked", "CompensateOpened", "CompensationOpened", "FiringHeld", "TaskReopened", "BoundaryArmed",
]);
const ENDS: Record<string, NodeState> = {
  TaskDone: "done", NodeDone: "done", TimerExpired: "done", SignalTaken: "done", MapDone: "done", LoopDone: "done",
  RaceWon: "done", ApprovalDecided: "done", CompensationDone: "done", CompensationEnded: "done", FiringEnded: "done",
  NetEnded: "done", MapLeft: "done", EventEmitted: "done", StateAssigned: "done", NodeSkipped: "skipped",
  NodeBypassed: "skipped", FiringMissed: "skipped", FaultRaised: "failed", FiringFailed: "failed", CompensationRegistered: "done",
};
const CLOSES_RUN: Record<string, NodeState> = { completed: "done", failed: "cancelled", cancelled: "cancelled" };

function nodesOf(event: RunEvent): string[] {
  const several = event.data?.["nodes"];
  if (Array.isArray(several)) return several.filter((each): each is string => typeof each === "string");
  return event.node === null ? [] : [event.node];
}

/** A node's name without the item that it belongs to: `label[2]` is drawn as `label`. */
export function drawnName(node: string): string {
  return node.replace(/\[[^\]]*\]/g, "");
}

/** All attempts in the order in which they began, of the events up to `upto`. */
export function attemptsOf(events: RunEvent[], upto = Infinity): Attempt[] {
  const all: Attempt[] = [];
  const open = new Map<string, Attempt>();
  let itemsSince: number | null = null;
  const begin = (event: RunEvent, node: string, from: number): Attempt => {
    const made: Attempt = {
      node, activation: event.activation, attempt: event.attempt || 1, from, to: null, state: "open", detail: event.type,
    };
    all.push(made);
    open.set(`${node}#${event.activation}`, made);
    return made;
  };
  const finish = (attempt: Attempt, at: number, state: NodeState) => {
    attempt.to = at;
    attempt.state = state;
    open.delete(`${attempt.node}#${attempt.activation}`);
  };
  for (const event of events) {
    if (event.seq > upto) break;
    const at = event.time ? Date.parse(event.time) : 0;
    if (event.type === "ItemsOpened") itemsSince = at;
    if (event.type === "RunEnded") {
      const state = CLOSES_RUN[String(event.data?.["status"])] ?? "cancelled";
      for (const each of [...open.values()]) finish(each, at, state);
    }
    for (const node of nodesOf(event)) {
      const held = open.get(`${node}#${event.activation}`);
      if (event.type === "TasksOpened" || event.type === "FiringsOpened" || OPENS.has(event.type)) {
        if (event.type === "BlockOpened" && event.data?.["arm"] === -1) {
          finish(begin(event, node, at), at, "skipped");
        } else {
          if (held) finish(held, at, held.state === "open" ? "cancelled" : held.state);
          begin(event, node, at);
        }
      } else if (event.type === "TaskFailed" || event.type === "ItemFailed") {
        const failed = held ?? begin(event, node, itemsSince ?? at);
        finish(failed, at, "failed");
        const error = event.data?.["error"] as { type?: string; message?: string } | null | undefined;
        failed.detail = error ? `${error.type}: ${error.message}` : event.type;
        if (Number(event.data?.["retry_ms"] ?? 0) > 0) begin(event, node, at).state = "retry";
      } else if (event.type in ENDS) {
        finish(held ?? begin(event, node, event.type === "TaskDone" ? (itemsSince ?? at) : at), at, ENDS[event.type]!);
      }
    }
  }
  return all;
}

/** The state of every drawn node: of several activations the one that a person most wants to know of. */
export function statesOf(attempts: Attempt[]): Map<string, { state: NodeState; done: number; all: number }> {
  const rank: NodeState[] = ["skipped", "cancelled", "done", "failed", "retry", "open"];
  const latest = new Map<string, Attempt>();
  for (const each of attempts) latest.set(`${each.node}#${each.activation}`, each);
  const found = new Map<string, { state: NodeState; done: number; all: number }>();
  for (const each of latest.values()) {
    const name = drawnName(each.node);
    const old = found.get(name) ?? { state: each.state, done: 0, all: 0 };
    if (rank.indexOf(each.state) > rank.indexOf(old.state)) old.state = each.state;
    old.all += 1;
    if (each.state === "done") old.done += 1;
    found.set(name, old);
  }
  return found;
}
