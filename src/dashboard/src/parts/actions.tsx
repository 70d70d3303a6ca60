// What can be done to a run, and the dialogs that ask for what it takes.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { part, post } from "../api";
import { link } from "../hooks";
import { ENDED } from "../history";
import type { Run, Wait } from "../types";
import { Action, Dialog, useNotify } from "./basics";
import { JsonInput } from "./form";

export function Actions(props: { run: Run; node: string | null; at: number | null; reload: () => void }): JSX.Element {
  const { run, node, at } = props;
  const notify = useNotify();
  const [dialog, setDialog] = useState<"signal" | "skip" | "fork" | "cancel" | null>(null);
  const ended = ENDED.has(run.status);
  const path = `runs/${part(run.id)}`;
  const act = (action: string, body: unknown = {}) => async () => {
    await post(`${path}/${action}`, body);
    notify(`${action}: done`);
    setDialog(null);
    props.reload();
  };
  const waits = run.waiting_for.filter((each) => each.kind === "signal" || each.kind === "approval");
  return (
    <div class="actions">
      {!ended && run.status !== "paused" && <Action label="Pause" run={act("pause")} />}
      {run.status === "paused" && <Action label="Resume" kind="primary" run={act("resume")} />}
      {run.status === "failed" && <Action label="Retry" kind="primary" hint="go on from what failed" run={act("retry")} />}
      {!ended && <Action label="Signal…" run={async () => setDialog("signal")} />}
      {!ended && <Action label="Skip…" hint="end an open node with a value" run={async () => setDialog("skip")} />}
      <Action label="Fork…" hint="a new run from a point of this one" run={async () => setDialog("fork")} />
      {!ended && <Action label="Cancel…" kind="danger" run={async () => setDialog("cancel")} />}
      {dialog === "signal" && <SignalDialog waits={waits} act={act} close={() => setDialog(null)} />}
      {dialog === "skip" && <SkipDialog run={run} node={node} act={act} close={() => setDialog(null)} />}
      {dialog === "fork" && <ForkDialog run={run} node={node} at={at} close={() => setDialog(null)} />}
      {dialog === "cancel" && (
        <Dialog title="Cancel this run?" close={() => setDialog(null)}>
          <p>What it waits for is withdrawn, running tasks are told to stop. It cannot be undone.</p>
          <Action label="Cancel, and undo what was done" kind="danger" run={act("cancel")} />
          <Action label="Cancel without compensation" kind="danger" run={act("cancel", { compensate: false })} />
        </Dialog>
      )}
    </div>
  );
}

type Act = (action: string, body?: unknown) => () => Promise<void>;

function SignalDialog({ waits, act, close }: { waits: Wait[]; act: Act; close: () => void }): JSX.Element {
  const [name, setName] = useState(waits[0]?.detail.split(" ")[0] ?? "");
  const [payload, setPayload] = useState<unknown>(waits[0]?.kind === "approval" ? { approved: true } : null);
  return (
    <Dialog title="Send a signal" close={close}>
      <label class="field">
        <span>name</span>
        <input type="text" value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <label class="field">
        <span>payload, as JSON</span>
        <JsonInput value={payload} change={setPayload} />
      </label>
      <Action label="Send" kind="primary" disabled={!name} run={act("signal", { name, payload: payload ?? null })} />
    </Dialog>
  );
}

function SkipDialog({ run, node, act, close }: { run: Run; node: string | null; act: Act; close: () => void }): JSX.Element {
  const open = [...new Set(run.waiting_for.map((each) => each.node).filter(Boolean))];
  const [chosen, setChosen] = useState(node && open.includes(node) ? node : (open[0] ?? ""));
  const [output, setOutput] = useState<unknown>(null);
  return (
    <Dialog title="End an open node with a value" close={close}>
      <label class="field">
        <span>node</span>
        <select value={chosen} onChange={(event) => setChosen(event.currentTarget.value)}>
          {open.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>its value, as JSON</span>
        <JsonInput value={output} change={setOutput} />
      </label>
      <Action label="Skip it" kind="danger" disabled={!chosen} run={act("skip", { node: chosen, output: output ?? null })} />
    </Dialog>
  );
}

function ForkDialog({ run, node, at, close }: { run: Run; node: string | null; at: number | null; close: () => void }): JSX.Element {
  const [from, setFrom] = useState(node ?? "");
  const [event, setEvent] = useState(at ?? 1);
  const [by, setBy] = useState<"node" | "event">(node && at === null ? "node" : "event");
  const [changes, setChanges] = useState<unknown>({});
  const fork = async () => {
    const body = by === "node" ? { node: from, changes: changes ?? {} } : { event, changes: changes ?? {} };
    const made = await post<Run>(`runs/${part(run.id)}/fork`, body);
    close();
    location.hash = link("runs", made.id);
  };
  return (
    <Dialog title="A new run from a point of this one" close={close}>
      <label class="choice">
        <input type="radio" name="by" checked={by === "event"} onChange={() => setBy("event")} /> after event
        <input type="number" min={1} max={run.events} value={event} onInput={(input) => setEvent(Number(input.currentTarget.value))} />
      </label>
      <label class="choice">
        <input type="radio" name="by" checked={by === "node"} onChange={() => setBy("node")} /> before the node
        <input type="text" value={from} onInput={(input) => setFrom(input.currentTarget.value)} />
      </label>
      <label class="field">
        <span>
          changes <small>values by path, for example {`{"input.amount": 5}`}</small>
        </span>
        <JsonInput value={changes} change={setChanges} />
      </label>
      <p>This run stays as it is.</p>
      <Action label="Fork" kind="primary" run={fork} />
    </Dialog>
  );
}
