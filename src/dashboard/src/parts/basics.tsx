// Small parts that every page uses.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../api";
import { moment, relative } from "../format";
import { link } from "../hooks";

export function Badge({ status }: { status: string }): JSX.Element {
  return <span class={`badge s-${status}`}>{status}</span>;
}

export function RunLink({ id, children }: { id: string; children?: ComponentChildren }): JSX.Element {
  return (
    <a class="mono" href={link("runs", id)}>
      {children ?? id}
    </a>
  );
}

export function Ago({ at }: { at: string | null }): JSX.Element {
  return <time title={moment(at)}>{relative(at)}</time>;
}

export function Trouble({ error }: { error: Failure | null }): JSX.Element | null {
  return error && error.status !== 401 ? (
    <p class="trouble" role="alert">
      {error.message}
    </p>
  ) : null;
}

export function Empty({ children }: { children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>;
}

export function Section(props: { title: string; aside?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  return (
    <section class="card">
      <header>
        <h2>{props.title}</h2>
        <div class="aside">{props.aside}</div>
      </header>
      {props.children}
    </section>
  );
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A button for something that takes a moment: it can't be pressed twice, and says what went wrong. */
export function Action(props: {
  label: string;
  run: () => Promise<unknown>;
  kind?: "plain" | "primary" | "danger";
  disabled?: boolean;
  hint?: string;
}): JSX.Element {
  const [busy, setBusy] = useState(false);
  const notify = useNotify();
  const press = async () => {
    setBusy(true);
    try {
      await props.run();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      notify(error.message, true);
    } finally {
      setBusy(false);
    }
  };
  return (
    <button type="button" class={props.kind ?? "plain"} title={props.hint} disabled={busy || props.disabled} onClick={() => void press()}>
      {props.label}
    </button>
  );
}

/** A dialog in front of the page: Escape closes it, and the focus stays inside. */
export function Dialog(props: { title: string; close: () => void; children: ComponentChildren }): JSX.Element {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    box.current?.showModal();
  }, []);
  return (
    <dialog ref={box} aria-label={props.title} onClose={props.close} onCancel={props.close}>
      <header>
        <h2>{props.title}</h2>
        <button type="button" class="plain" aria-label="close" onClick={() => box.current?.close()}>
          ✕
        </button>
      </header>
      {props.children}
    </dialog>
  );
}

// ---- notices --------------------------------------------------------------------------------------------------------

interface Notice {
  id: number;
  text: string;
  bad: boolean;
}

const NOTICE_MS = 6_000;
let notices: Notice[] = [];
let number = 0;
let redraw: () => void = () => undefined;

/** Says something at the edge of the page for a few seconds. */
export function useNotify(): (text: string, bad?: boolean) => void {
  return (text, bad = false) => {
    const id = ++number;
    notices = [...notices.slice(-3), { id, text, bad }];
    redraw();
    window.setTimeout(() => {
      notices = notices.filter((each) => each.id !== id);
      redraw();
    }, NOTICE_MS);
  };
}

export function Notices(): JSX.Element {
  const [, setTurn] = useState(0);
  redraw = () => setTurn((n) => n + 1);
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.map((each) => (
        <p key={each.id} class={each.bad ? "bad" : ""}>
          {each.text}
        </p>
      ))}
    </div>
  );
}
