// The versions of a workflow: which is current, which take no new runs, their tags, and how two of them differ.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { part, post } from "../api";
import { short } from "../format";
import { link, useLoaded } from "../hooks";
import type { DefinitionSummary, Differences } from "../types";
import { Action, Ago, Badge, Dialog, Section, Trouble, useNotify } from "./basics";
import { Graph, type Mark } from "./graph";

export function Versions(props: { name: string; shown: number; compare: (version: number) => void; reload: () => void }): JSX.Element {
  const { name } = props;
  const found = useLoaded<{ definitions: DefinitionSummary[] }>(`definitions/${part(name)}/versions`);
  const [tagging, setTagging] = useState(0);
  const notify = useNotify();
  const act = (action: string, body: unknown) => async () => {
    await post(`definitions/${part(name)}/${action}`, body);
    notify(`${action}: done`);
    setTagging(0);
    found.reload();
    props.reload();
  };
  return (
    <Section title="Versions">
      <Trouble error={found.error} />
      <table>
        <tbody>
          {found.data?.definitions.map(({ version, current, deprecated_at, note, tags, deployed_at }) => (
            <tr key={version} class={version === props.shown ? "selected" : ""}>
              <td>
                <a href={`${link("workflows", name)}?version=${version}`}>version {version}</a> <Ago at={deployed_at} />
                <div>
                  {current && <Badge status="current" />} {deprecated_at && <span title={note}><Badge status="deprecated" /></span>}{" "}
                  {tags.map((tag) => (
                    <Badge key={tag} status={tag} />
                  ))}
                </div>
              </td>
              <td>
                {version !== props.shown && <Action label="compare" run={async () => props.compare(version)} />}{" "}
                {!current && <Action label="use" hint="starts without a version use it" run={act("use", { version })} />}{" "}
                {deprecated_at ? (
                  <Action label="allow" hint="take new runs again" run={act("undeprecate", { version })} />
                ) : (
                  <Action label="deprecate" hint="take no new runs" run={act("deprecate", { version })} />
                )}{" "}
                <Action label="tag…" run={async () => setTagging(version)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {tagging > 0 && (
        <Dialog title={`A tag for version ${tagging}`} close={() => setTagging(0)}>
          <Tag tag={(tag) => act("tag", { tag, version: tagging })()} />
        </Dialog>
      )}
    </Section>
  );
}

function Tag({ tag }: { tag: (name: string) => Promise<void> }): JSX.Element {
  const [name, setName] = useState("");
  return (
    <>
      <label class="field">
        <span>
          tag <small>starts may name it instead of the version</small>
        </span>
        <input type="text" value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <Action label="Set it" kind="primary" disabled={!name} run={() => tag(name)} />
    </>
  );
}

/** Two versions: what was added, removed or changed, in words and in both pictures. */
export function Compare({ name, one, other, close }: { name: string; one: number; other: number; close: () => void }): JSX.Element {
  const [old, fresh] = one < other ? [one, other] : [other, one];
  const found = useLoaded<Differences>(`definitions/${part(name)}/diff?old=${old}&new=${fresh}`);
  const [before, after] = useMemo(() => {
    const marks: [Map<string, Mark>, Map<string, Mark>] = [new Map(), new Map()];
    for (const each of found.data?.differences ?? []) {
      const node = each.where.split(".")[0] ?? "";
      const whole = each.what === "node" && each.where === node;
      if (whole && each.change === "removed") marks[0].set(node, { state: "failed", label: "removed" });
      else if (whole && each.change === "added") marks[1].set(node, { state: "done", label: "added" });
      else for (const side of marks) side.set(node, { state: "retry", label: "changed" });
    }
    return marks;
  }, [found.data]);
  const picture = (version: number, marks: Map<string, Mark>) => (
    <div>
      <h3>version {version}</h3>
      <Graph path={`definitions/${part(name)}/export?version=${version}&format=svg`} marks={marks} selected={null} select={() => undefined} />
    </div>
  );
  return (
    <Dialog title={`${name}: version ${old} and version ${fresh}`} close={close}>
      <Trouble error={found.error} />
      {found.data?.same && <p>They do the same.</p>}
      <ul class="plain">
        {found.data?.differences.map((each, index) => (
          <li key={index}>
            <Badge status={each.change} /> {each.what} <code>{each.where}</code>{" "}
            {each.old !== undefined && <del>{short(each.old)}</del>} {each.new !== undefined && <ins>{short(each.new)}</ins>}
          </li>
        ))}
      </ul>
      <div class="columns">
        {picture(old, before)}
        {picture(fresh, after)}
      </div>
    </Dialog>
  );
}
