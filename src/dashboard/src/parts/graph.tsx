// The picture of a definition, as the gateway draws it, with the states of a run's nodes as colours.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, getText } from "../api";
import type { NodeState } from "../history";

export interface Mark {
  state?: NodeState;
  label?: string;
  /** 0 to 1: how hot a node is, for example its share of the time. */
  heat?: number;
}

const WORDS: Record<NodeState, string> = {
  open: "running or waiting", retry: "waits for its retry", done: "done", failed: "failed", skipped: "skipped", cancelled: "withdrawn",
};
const SVG = "http://www.w3.org/2000/svg";

export function Graph(props: {
  path: string;
  marks: Map<string, Mark>;
  selected: string | null;
  select: (node: string | null) => void;
}): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const [picture, setPicture] = useState<SVGSVGElement | null>(null);
  const [error, setError] = useState("");
  useEffect(() => {
    let over = false;
    getText(props.path)
      .then((text) => {
        if (!over) setPicture(parse(text));
      })
      .catch((reason: unknown) => {
        if (!(reason instanceof Failure)) throw reason;
        if (!over) setError(reason.message);
      });
    return () => {
      over = true;
    };
  }, [props.path]);
  useEffect(() => {
    if (picture) place.current?.replaceChildren(picture);
  }, [picture]);
  useEffect(() => {
    if (picture) paint(picture, props.marks, props.selected);
  }, [picture, props.marks, props.selected]);
  const pick = (target: EventTarget | null) => {
    const node = target instanceof Element ? target.closest("[data-node]") : null;
    if (node) props.select(node.getAttribute("data-node"));
  };
  return (
    <div class="graph" tabIndex={0} role="region" aria-label="graph">
      {error && <p class="trouble">{error}</p>}
      <div
        ref={place}
        onClick={(event) => pick(event.target)}
        onKeyDown={(event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), pick(event.target))}
      />
      <p class="legend" aria-hidden="true">
        {(Object.keys(WORDS) as NodeState[]).map((state) => (
          <span key={state} class={`key n-${state}`}>
            {WORDS[state]}
          </span>
        ))}
      </p>
    </div>
  );
}

/** The picture without its own style, which the page's policy refuses; ours has the same classes. */
function parse(text: string): SVGSVGElement {
  const plain = text.replace(/<style>[^<]*<\/style>/, ""); // parsing it already would count as using it
  const found = new DOMParser().parseFromString(plain, "image/svg+xml").documentElement as unknown as SVGSVGElement;
  for (const each of found.querySelectorAll("style, script, foreignObject")) each.remove();
  found.setAttribute("role", "group");
  for (const node of found.querySelectorAll<SVGGElement>("[data-node]")) {
    node.setAttribute("tabindex", "0");
    node.setAttribute("role", "button");
  }
  return document.importNode(found, true);
}

function paint(picture: SVGSVGElement, marks: Map<string, Mark>, selected: string | null): void {
  for (const label of picture.querySelectorAll(".mark")) label.remove();
  for (const node of picture.querySelectorAll<SVGGElement>("[data-node]")) {
    const name = node.getAttribute("data-node") ?? "";
    const mark = marks.get(name);
    const heat = mark?.heat === undefined ? "" : ` h-${Math.min(9, Math.floor(mark.heat * 10))}`;
    node.setAttribute("class", `n ${mark?.state ? `n-${mark.state}` : ""}${heat}${name === selected ? " selected" : ""}`);
    node.setAttribute("aria-label", `${name}${mark?.state ? `: ${WORDS[mark.state]}` : ""}`);
    if (mark?.label) node.append(labelled(node, mark.label));
  }
}

function labelled(node: SVGGElement, text: string): SVGTextElement {
  const box = node.querySelector("rect");
  const label = document.createElementNS(SVG, "text");
  label.setAttribute("class", "mark");
  label.setAttribute("x", String(Number(box?.getAttribute("x")) + Number(box?.getAttribute("width")) - 5));
  label.setAttribute("y", String(Number(box?.getAttribute("y")) + 11));
  label.setAttribute("text-anchor", "end");
  label.textContent = text;
  return label;
}
