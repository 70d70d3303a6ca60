// The frame around the pages: navigation, login, keys.

import { render, type JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, whenLoggedOut } from "./api";
import { link, useLoaded, usePlace, useSetting } from "./hooks";
import { Approvals } from "./pages/approvals";
import { Incidents } from "./pages/incidents";
import { Log } from "./pages/log";
import { Login } from "./pages/login";
import { Overview } from "./pages/overview";
import { RunPage } from "./pages/run";
import { Runs } from "./pages/runs";
import { WorkflowPage } from "./pages/workflow";
import { Workflows } from "./pages/workflows";
import { Workers } from "./pages/workers";
import { Notices } from "./parts/basics";
import "./style.css";
import type { Server } from "./types";

const PAGES: [path: string, title: string, key: string][] = [
  ["", "Overview", "o"],
  ["runs", "Runs", "r"],
  ["workflows", "Workflows", "w"],
  ["approvals", "Approvals", "a"],
  ["incidents", "Incidents", "i"],
  ["workers", "Workers", "k"],
  ["log", "Live log", "l"],
];

function App(): JSX.Element {
  const [loggedIn, setLoggedIn] = useState<boolean | null>(null);
  useEffect(() => {
    whenLoggedOut(() => setLoggedIn(false));
    get<{ authenticated: boolean }>("session")
      .then((found) => setLoggedIn(found.authenticated))
      .catch(() => setLoggedIn(false));
  }, []);
  if (loggedIn === null) return <main aria-busy="true" />;
  return loggedIn ? <Frame /> : <Login done={() => setLoggedIn(true)} />;
}

function Frame(): JSX.Element {
  const { parts, values } = usePlace();
  const [theme, setTheme] = useSetting("theme", "system");
  const server = useLoaded<Server>("server", 2_000);
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  useEffect(() => {
    const follow = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || /^(input|select|textarea)$/i.test(target.tagName)) return;
      if (document.querySelector("dialog[open]")) return;
      if (event.key === "/") {
        event.preventDefault();
        document.getElementById("find")?.focus();
      }
      const page = PAGES.find(([, , key]) => key === event.key);
      if (page) location.hash = link(page[0]);
    };
    window.addEventListener("keydown", follow);
    return () => window.removeEventListener("keydown", follow);
  }, []);
  const state = server.error ? "unreachable" : (server.data?.state ?? "…");
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), document.getElementById("content")?.focus())}>
        to the content
      </a>
      <nav aria-label="pages">
        <a class="brand" href={link()}>
          wfe
        </a>
        {PAGES.map(([path, title, key]) => (
          <a key={path} href={link(path)} title={`key ${key}`} aria-current={(parts[0] ?? "") === path ? "page" : undefined}>
            {title}
          </a>
        ))}
        <Find />
        <span class={`state s-${state}`} title="the server">
          {state}
        </span>
        <select aria-label="theme" value={theme} onChange={(event) => setTheme(event.currentTarget.value)}>
          <option value="system">system</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
        <a href="api">API</a>
      </nav>
      <main id="content" tabIndex={-1}>
        <Page parts={parts} values={values} server={server.data} />
      </main>
      <Notices />
    </>
  );
}

function Find(): JSX.Element {
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const box = event.currentTarget.elements.namedItem("find") as HTMLInputElement;
        if (box.value.trim()) location.hash = link("runs", box.value.trim());
        box.value = "";
        box.blur();
      }}
    >
      <input id="find" name="find" type="search" placeholder="run id  ( / )" aria-label="open a run by its id" />
    </form>
  );
}

function Page({ parts, values, server }: { parts: string[]; values: URLSearchParams; server: Server | null }): JSX.Element {
  const [page, name] = parts;
  switch (page) {
    case undefined:
      return <Overview server={server} />;
    case "runs":
      return name ? <RunPage key={name} id={name} /> : <Runs values={values} />;
    case "workflows":
      return name ? <WorkflowPage key={name} name={name} version={Number(values.get("version") ?? 0)} /> : <Workflows />;
    case "approvals":
      return <Approvals />;
    case "incidents":
      return <Incidents />;
    case "workers":
      return <Workers server={server} />;
    case "log":
      return <Log />;
    default:
      return <p class="empty">There is no such page.</p>;
  }
}

render(<App />, document.getElementById("app")!);
