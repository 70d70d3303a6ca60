// What the alert rules of the server's configuration say.

import type { JSX } from "preact";
import { Ago, Badge, Empty, Section, Trouble } from "./basics";
import { useLoaded } from "../hooks";
import type { AlertList } from "../types";

const REFRESH_MS = 5_000;

/** Nothing, when there are no rules. */
export function Alerts(): JSX.Element | null {
  const found = useLoaded<AlertList>("alerts", REFRESH_MS);
  if (!found.data) return <Trouble error={found.error} />;
  if (found.data.at === null) return null;
  const wrong = found.data.alerts.filter((each) => each.state !== "ok");
  const silent = found.data.receivers.filter((each) => each.error !== null);
  return (
    <Section title="Alerts" aside={<>{new Set(found.data.alerts.map((each) => each.rule)).size} rules, judged <Ago at={found.data.at} /></>}>
      {wrong.length === 0 && <Empty>Nothing is wrong.</Empty>}
      <ul class="plain alerts">
        {wrong.map((each) => (
          <li key={`${each.rule} ${each.subject}`}>
            <Badge status={each.state} /> <Badge status={each.severity} /> <b>{each.rule}</b> {each.summary} <small>{each.value}, since</small>{" "}
            <Ago at={each.since} />
          </li>
        ))}
      </ul>
      {silent.map((each) => (
        <p key={each.name} class="trouble">
          {each.name} is not told: {each.error}
        </p>
      ))}
    </Section>
  );
}
