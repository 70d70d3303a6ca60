// All workflows; and a place to deploy another.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Failure, postText } from "../api";
import { Action, Ago, Dialog, Empty, Section, Trouble, useNotify } from "../parts/basics";
import { link, useLoaded } from "../hooks";
import type { DefinitionSummary } from "../types";

export function Workflows(): JSX.Element {
  const found = useLoaded<{ definitions: DefinitionSummary[] }>("definitions", 5_000);
  const [deploying, setDeploying] = useState(false);
  return (
    <>
      <h1>Workflows</h1>
      <Trouble error={found.error} />
      <Section title="Registered" aside={<Action label="Deploy YAML…" run={async () => setDeploying(true)} />}>
        {found.data?.definitions.length === 0 && <Empty>None yet: deploy one with `wfe deploy APP`, or here.</Empty>}
        <div class="scroll" tabIndex={0} role="region" aria-label="table">
          <table>
            <thead>
              <tr>
                <th>workflow</th>
                <th class="number">version</th>
                <th>deployed</th>
                <th>runs</th>
              </tr>
            </thead>
            <tbody>
              {found.data?.definitions.map((each) => (
                <tr key={each.workflow}>
                  <td>
                    <a href={link("workflows", each.workflow)}>{each.workflow}</a>
                  </td>
                  <td class="number">{each.version}</td>
                  <td>
                    <Ago at={each.deployed_at} />
                  </td>
                  <td>
                    <a href={`${link("runs")}?workflow=${encodeURIComponent(each.workflow)}`}>runs</a>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Section>
      {deploying && <Deploy close={() => (setDeploying(false), found.reload())} />}
    </>
  );
}

interface Finding {
  line: number | null;
  message: string;
  suggestion: string | null;
  severity: string;
}

function Deploy({ close }: { close: () => void }): JSX.Element {
  const [text, setText] = useState("");
  const [findings, setFindings] = useState<Finding[]>([]);
  const notify = useNotify();
  const check = async (): Promise<boolean> => {
    const found = await postText<{ ok: boolean; findings: Finding[] }>("definitions/validate", text, "application/yaml");
    setFindings(found.findings);
    if (found.ok && found.findings.length === 0) notify("nothing to say against it");
    return found.ok;
  };
  const deploy = async () => {
    if (!(await check())) throw new Failure(422, { title: "It has errors", status: 422 });
    await postText("definitions", text, "application/yaml");
    notify("deployed");
    close();
  };
  return (
    <Dialog title="Deploy" close={close}>
      <textarea class="mono" rows={18} spellcheck={false} aria-label="YAML" value={text} onInput={(event) => setText(event.currentTarget.value)} />
      <ul class="plain">
        {findings.map((each, index) => (
          <li key={index} class={each.severity === "error" ? "trouble" : ""}>
            {each.line ? `line ${each.line}: ` : ""}
            {each.message} {each.suggestion && <small>{each.suggestion}</small>}
          </li>
        ))}
      </ul>
      <Action label="Check" run={check} /> <Action label="Deploy" kind="primary" run={deploy} />
    </Dialog>
  );
}
